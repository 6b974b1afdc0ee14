"""Thumbnails of everything that the indexer reads, and of what it does not."""

import base64
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import make_bad_files
import numpy as np
import pytest
from make_photos import PHOTOS, cat, with_exif, write_all
from painting import paint_many
from PIL import Image

from indexer import Item
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from search.present.thumbnails import data_uri, thumbnail, thumbnails


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_all(folder)
    return folder


@pytest.mark.parametrize("name", PHOTOS)
def test_every_format_is_made_small_and_upright(name: str, folder: Path) -> None:
    jpeg = thumbnail(folder / name, 80)
    assert jpeg is not None
    small = Image.open(BytesIO(jpeg))
    assert (small.format, small.mode, small.size) == ("JPEG", "RGB", (80, 53))
    truth = upright_rgb(open_photo(folder / name)).resize(small.size, Image.Resampling.BICUBIC)
    difference = np.abs(np.asarray(small, np.float32) - np.asarray(truth, np.float32))
    assert difference.mean() < 8  # of 255; a photo that is turned or mirrored is 30 away or more


def test_a_turned_photo_is_far_from_itself() -> None:
    upright, turned = cat(), cat().transpose(Image.Transpose.ROTATE_180)
    assert np.abs(np.asarray(upright, np.float32) - np.asarray(turned, np.float32)).mean() > 30


def test_a_small_photo_stays_as_it_is_and_a_narrow_one_keeps_a_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "small.png")
    Image.new("RGB", (3000, 2)).save(tmp_path / "narrow.png")
    small, narrow = (thumbnail(tmp_path / name, 100) for name in ("small.png", "narrow.png"))
    assert small and Image.open(BytesIO(small)).size == (20, 10)
    assert narrow and Image.open(BytesIO(narrow)).size == (100, 1)


def test_where_it_was_taken_does_not_travel_along(tmp_path: Path) -> None:
    jpeg = thumbnail(with_exif(tmp_path / "here.jpg", latitude=52.5, longitude=13.4, camera="Secret"), 64)
    assert jpeg is not None
    assert not Image.open(BytesIO(jpeg)).getexif()
    assert b"Secret" not in jpeg


@pytest.mark.parametrize(
    "make",
    [
        make_bad_files.empty_photo,
        make_bad_files.half_photo,
        make_bad_files.text_named_photo,
        make_bad_files.corrupt_pixels,
        make_bad_files.decompression_bomb,
        make_bad_files.half_heic,
        make_bad_files.tiff_of_absurd_size,
        make_bad_files.broken_link,
    ],
)
def test_what_cannot_be_read_has_none(make: Callable[[Path], make_bad_files.Bad], tmp_path: Path) -> None:
    assert thumbnail(make(tmp_path).path, 64) is None


def test_what_is_not_there_or_is_a_folder_has_none(tmp_path: Path) -> None:
    assert thumbnail(tmp_path / "nowhere.jpg", 64) is None
    assert thumbnail(tmp_path, 64) is None


def test_many_come_in_order(tmp_path: Path) -> None:
    photos = [*paint_many(tmp_path, 40), tmp_path / "nowhere.jpg"]
    items = [Item("image", path) for path in photos]
    assert list(thumbnails(items, 8)) == [thumbnail(path, 8) for path in photos]


def test_a_shot_of_a_film_is_seen_as_it_begins(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'descry[video]'")
    from films import film

    path = film(tmp_path / "film.mp4", ["red", "blue"], 2)
    red, blue, none = thumbnails([Item("video", path, part) for part in ("t0", "t2", "t9")], 8)
    assert red and blue and none is None
    assert [Image.open(BytesIO(jpeg)).convert("RGB").getpixel((2, 2)) for jpeg in (red, blue)] == [
        pytest.approx((254, 0, 0), abs=12),
        pytest.approx((0, 0, 254), abs=12),
    ]


def test_a_data_uri_holds_the_picture(folder: Path) -> None:
    jpeg = thumbnail(folder / "baseline.jpg", 32)
    assert jpeg is not None
    head, _, body = data_uri(jpeg).partition(",")
    assert (head, base64.b64decode(body)) == ("data:image/jpeg;base64", jpeg)

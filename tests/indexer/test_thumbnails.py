"""Small pictures: upright, of the pixels that the encoder saw, bounded, and never worth a failure."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from make_photos import PHOTOS, write_all
from painting import paint_many
from PIL import Image

from indexer import Encoder, Library, index_sources, load_encoder, shipped
from indexer.encoders.base import Tower
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from indexer.thumbnails import NAME, SIDES, Thumbnails, draw, held


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_all(folder)
    return folder


@pytest.fixture(scope="module")
def tower() -> Tower:
    return load_encoder().tower("image")


@pytest.mark.parametrize("is_prepared", [False, True])
@pytest.mark.parametrize("name", PHOTOS)
def test_of_every_format_it_is_the_photo_upright_whether_it_was_embedded_or_not(
    name: str, is_prepared: bool, folder: Path, tower: Tower
) -> None:
    picture = open_photo(folder / name, content=(folder / name).read_bytes())
    if is_prepared:
        tower.prepare(picture)
    drawn = Image.open(BytesIO(draw(picture, 80)))
    assert (drawn.format, drawn.mode) == ("JPEG", "RGB")
    assert 80 <= max(drawn.size) <= 108 and not drawn.getexif()
    truth = upright_rgb(open_photo(folder / name)).resize(drawn.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(drawn, np.float32) - np.asarray(truth, np.float32)).mean() < 8


def test_indexing_keeps_them_if_it_is_told_to(library: Library, encoder: Encoder, tmp_path: Path) -> None:
    paint_many(tmp_path / "photos", 5)
    index_sources(library, [tmp_path / "photos"], encoder)
    assert held(library.path) == (0, 0) and not (library.path / NAME).exists()
    paint_many(tmp_path / "others", 7)
    index_sources(library, [tmp_path / "others"], encoder, thumbnails=True)
    count, size = held(library.path)
    assert 0 < count <= 7 and 0 < size < 1_000_000


def test_the_shipped_encoder_and_its_thumbnail_look_at_the_same_pixels_once(
    tower: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = next(shipped("photos").glob("*.jpg")).read_bytes()
    picture = open_photo(Path("a.jpg"), content=content)
    tower.prepare(picture)
    monkeypatch.setattr("indexer.thumbnails.upright_rgb", None)  # would decode once more
    drawn = Image.open(BytesIO(draw(picture, SIDES["small"])))
    assert max(drawn.size) <= 1.35 * SIDES["small"]


def test_the_file_stays_within_its_bounds_and_the_oldest_go(tmp_path: Path) -> None:
    kept = Thumbnails(tmp_path, at_most=300_000)
    for number in range(200):
        kept.put(bytes([number]), "small", bytes(5_000))
    assert held(tmp_path)[1] <= 310_000
    assert kept.get(bytes([0]), "small") is None and kept.get(bytes([199]), "small") is not None
    kept.close()


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_damaged_file_is_made_anew(content: bytes, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(content)
    kept = Thumbnails(tmp_path)
    kept.put(b"1", "small", b"picture")
    assert kept.get(b"1", "small") == b"picture"
    kept.close()


def test_where_nothing_can_be_written_they_are_in_memory(tmp_path: Path) -> None:
    kept = Thumbnails(tmp_path / "nowhere")
    kept.put(b"1", "small", b"picture")
    assert kept.get(b"1", "small") == b"picture" and held(tmp_path / "nowhere") == (0, 0)
    kept.close()

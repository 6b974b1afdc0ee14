"""JPEGs into arrays: Pillow's pixels at Pillow's scale, and Pillow's turn where something is not as it should be."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer.photos.opening import open_photo
from indexer.photos.pixels import jpeg_pixels, upright, upright_rgb
from indexer.shipped import shipped

PHOTO = shipped("photos", "astronaut.jpg")


def saved(folder: Path, size: tuple[int, int], mode: str = "RGB", **options: object) -> Path:
    path = folder / "photo.jpg"
    with Image.open(PHOTO) as photo:
        photo.resize(size, Image.Resampling.BICUBIC).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize("size", [(640, 480), (479, 641), (1, 1), (999, 1501), (2049, 1023), (5000, 17)])
@pytest.mark.parametrize("side", [16, 64, 224])
@pytest.mark.parametrize(("mode", "options"), [("RGB", {}), ("L", {}), ("RGB", {"progressive": True})])
def test_the_pixels_are_pillows_at_the_scale_that_pillow_chooses(
    size: tuple[int, int], side: int, mode: str, options: dict[str, object], tmp_path: Path
) -> None:
    path = saved(tmp_path, size, mode, quality=90, **options)
    ours = jpeg_pixels(open_photo(path), side=side)
    theirs = np.asarray(upright_rgb(open_photo(path), side=side))
    assert ours is not None
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_what_is_no_plain_jpeg_is_left_to_pillow(tmp_path: Path) -> None:
    assert jpeg_pixels(open_photo(saved(tmp_path, (40, 30), "CMYK")), side=16) is None
    with Image.open(PHOTO) as photo:
        photo.save(tmp_path / "photo.png")
    assert jpeg_pixels(open_photo(tmp_path / "photo.png"), side=16) is None
    with Image.open(PHOTO) as photo:  # a file, not its bytes
        assert jpeg_pixels(photo, side=16) is None


def test_a_damaged_jpeg_is_left_to_pillow_and_an_image_stays_as_it_was(tmp_path: Path) -> None:
    path = saved(tmp_path, (640, 480))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert jpeg_pixels(open_photo(path), side=16) is None
    path.write_bytes(whole)
    image = open_photo(path)
    jpeg_pixels(image, side=16)
    assert image.size == (640, 480)
    assert np.asarray(image).shape == (480, 640, 3)
    assert jpeg_pixels(image, side=16) is None  # its bytes are gone once Pillow has decoded them


@pytest.mark.parametrize("orientation", range(10))
def test_turning_follows_exif(orientation: int) -> None:
    from PIL import ImageOps

    stored = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
    buffer = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(buffer, "PNG", exif=exif)
    turned = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    assert (upright(np.asarray(stored), orientation) == turned).all()

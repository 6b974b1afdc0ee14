"""Photos in every format against plain decoding, and JPEGs straight into arrays against Pillow."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from make_photos import PHOTOS, SIZE, cat, over_white
from PIL import Image, ImageOps

from indexer import shipped
from indexer.photos.facts import photo_facts
from indexer.photos.opening import open_photo
from indexer.photos.pixels import jpeg_pixels, small_rgb, upright, upright_rgb
from indexer.photos.suffixes import SUFFIXES

LOSSLESS = (".png", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")


PHOTO = shipped("photos", "astronaut.jpg")


def expected(name: str) -> np.ndarray:
    """The cat as that file has to look, `[h, w, 3]`."""
    picture = cat()
    if "grey" in name:
        picture = picture.convert("L").convert("RGB")
    if "one_bit" in name:
        picture = picture.convert("1").convert("RGB")
    if any(word in name for word in ("alpha", "clear", "rgba")):
        picture = over_white(picture)
    return np.asarray(picture, dtype=float)


@pytest.mark.parametrize("name", PHOTOS)
def test_every_format_shows_the_cat_upright_over_white(name: str, tmp_path: Path) -> None:
    PHOTOS[name](cat(), tmp_path / name)

    pixels = np.asarray(upright_rgb(open_photo(tmp_path / name)), dtype=float)

    truth = expected(name)
    assert pixels.shape == truth.shape
    is_exact = name.lower().endswith(LOSSLESS) and "palette" not in name
    assert np.abs(pixels - truth).mean() < (0.01 if is_exact else 16 if name == "palette.png" else 3)
    assert np.abs(pixels.mean(axis=(0, 1)) - truth.mean(axis=(0, 1))).max() < 0.5


@pytest.mark.parametrize("name", PHOTOS)
def test_width_and_height_are_those_of_the_upright_photo(name: str, tmp_path: Path) -> None:
    PHOTOS[name](cat(), tmp_path / name)
    facts = photo_facts(open_photo(tmp_path / name))
    assert (facts["width"], facts["height"]) == SIZE


def test_deep_grey_and_float_photos_are_scaled_to_what_can_be_seen(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (16, 1))
    Image.fromarray(ramp).save(tmp_path / "float.tif")
    Image.fromarray((ramp * 65535).astype(np.uint16)).save(tmp_path / "sixteen.tif")
    Image.fromarray((ramp * 2**31).astype(np.int64).clip(0, 2**31 - 1).astype(np.int32)).save(tmp_path / "long.tif")
    for name in ("float.tif", "sixteen.tif", "long.tif"):
        pixels = np.asarray(upright_rgb(open_photo(tmp_path / name)))
        assert np.abs(pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1, name


def test_a_jpeg_is_not_decoded_smaller_than_twice_the_target(tmp_path: Path) -> None:
    path = saved(tmp_path, (1800, 1200))
    for side in (100, 224, 400):
        assert min(upright_rgb(open_photo(path), side=side).size) >= 2 * side
    assert upright_rgb(open_photo(path), side=100).size < upright_rgb(open_photo(path)).size


def test_a_jpeg_xl_is_seen(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl", reason="JPEG XL comes with descry[formats]")
    cat().save(tmp_path / "a.jxl", quality=95)
    assert ".jxl" in SUFFIXES
    seen = np.asarray(upright_rgb(open_photo(tmp_path / "a.jxl")), int)
    assert np.abs(seen - np.asarray(cat())).mean() < 3


def test_of_an_animation_the_first_frame_is_seen(tmp_path: Path) -> None:
    black = Image.new("RGB", SIZE)
    for name in ("a.png", "a.webp", "a.gif", "a.avif"):
        options = {"lossless": True} if name == "a.webp" else {}
        cat().save(tmp_path / name, save_all=True, append_images=[black, black], duration=100, **options)
        seen = np.asarray(upright_rgb(open_photo(tmp_path / name)), int)
        assert np.abs(seen - np.asarray(cat())).mean() < 16, name


def test_of_several_photos_in_a_file_the_first_is_seen(tmp_path: Path) -> None:
    cat().save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[Image.new("RGB", SIZE)], quality=95)
    assert np.abs(np.asarray(upright_rgb(open_photo(tmp_path / "a.jpg")), int) - np.asarray(cat())).mean() < 3
    cat().save(tmp_path / "a.heic", save_all=True, append_images=[Image.new("RGB", SIZE)], quality=90)
    assert np.abs(np.asarray(upright_rgb(open_photo(tmp_path / "a.heic")), int) - np.asarray(cat())).mean() < 5


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

    stored = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
    buffer = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(buffer, "PNG", exif=exif)
    turned = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    assert (upright(np.asarray(stored), orientation) == turned).all()


@pytest.mark.parametrize("name", PHOTOS)
def test_means_of_the_pixels_are_those_of_the_photo_in_every_format(name: str, tmp_path: Path) -> None:
    PHOTOS[name](cat(), tmp_path / name)
    small = small_rgb(open_photo(tmp_path / name), side=80)
    assert max(small.shape) == 80
    assert small.mean(axis=(0, 1)) == pytest.approx(expected(name).mean(axis=(0, 1)), abs=4)


def test_means_of_what_was_decoded_before_are_those_of_the_file() -> None:
    known, new = open_photo(PHOTO), open_photo(PHOTO)
    assert jpeg_pixels(known, side=224) is not None
    means = [small_rgb(photo, side=64).astype(float) for photo in (known, new)]
    assert means[0].shape == means[1].shape
    assert np.abs(means[0] - means[1]).mean() < 8

"""Photos without colours are told from others by their pixels, however they are stored."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from indexer.photos.monochrome import BLACK_AND_WHITE, FULL, SEPIA, colour_of
from indexer.photos.opening import open_photo

PHOTOS = Path(__file__).parents[3] / "data" / "photos"
IN_COLOUR = ("astronaut.jpg", "cat.jpg", "coffee.jpg", "flower.jpg", "motorcycle.jpg", "rocket.jpg", "temple.jpg")
GREY = ("brick.jpg", "camera_man.jpg", "coins.jpg", "grass.jpg", "gravel.jpg", "page.jpg")

# The matrix by which most programs make sepia.
SEPIA_MATRIX = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])

Pixels = npt.NDArray[np.float64]


def pixels_of(name: str) -> Pixels:
    return np.asarray(Image.open(PHOTOS / name).convert("RGB"), np.float64)


def grey(pixels: Pixels) -> Pixels:
    return np.repeat((pixels @ [0.299, 0.587, 0.114])[..., np.newaxis], 3, axis=2)


def stored(pixels: Pixels, kind: str = "JPEG", **options: object) -> Image.Image:
    content = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(content, kind, **options)  # type: ignore[arg-type]
    return Image.open(content)


@pytest.mark.parametrize("name", IN_COLOUR)
def test_a_photo_in_colour_is_in_full_colour(name: str) -> None:
    assert colour_of(open_photo(PHOTOS / name)) == FULL


@pytest.mark.parametrize("name", GREY)
def test_a_grey_photo_is_black_and_white(name: str) -> None:
    assert colour_of(open_photo(PHOTOS / name)) == BLACK_AND_WHITE


def noisy(pixels: Pixels) -> Pixels:
    return grey(pixels) + np.random.default_rng(0).normal(0, 8, pixels.shape)


def warm(pixels: Pixels) -> Pixels:
    return grey(pixels) * [1.02, 1.0, 0.96]


@pytest.mark.parametrize("made", [grey, noisy, warm], ids=["grey", "noise of colours", "a scanner's cast"])
@pytest.mark.parametrize("name", IN_COLOUR)
def test_a_photo_made_grey_and_stored_as_rgb_is_black_and_white(name: str, made: Callable[[Pixels], Pixels]) -> None:
    assert colour_of(stored(made(pixels_of(name)), quality=60)) == BLACK_AND_WHITE


@pytest.mark.parametrize("name", IN_COLOUR)
def test_a_photo_made_sepia_is_sepia(name: str) -> None:
    assert colour_of(stored(pixels_of(name) @ SEPIA_MATRIX.T, quality=80)) == SEPIA


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "I", "F", "P", "RGBA", "CMYK"])
def test_grey_is_black_and_white_in_every_mode(mode: str) -> None:
    photo = Image.open(PHOTOS / "coins.jpg").convert("L")
    if mode == "I;16":
        photo = Image.fromarray(np.asarray(photo).astype(np.uint16) * 256)
    assert colour_of(photo if mode == "I;16" else photo.convert(mode)) == BLACK_AND_WHITE


@pytest.mark.parametrize("spot", [(200, 40, 40), (40, 90, 200), (120, 80, 40)], ids=["red", "blue", "brown"])
def test_one_small_thing_in_colour_makes_a_photo_of_fog_one_in_colour(spot: tuple[int, int, int]) -> None:
    fog = np.full((480, 640, 3), 200.0) + np.linspace(-40, 40, 640)[np.newaxis, :, np.newaxis]
    assert colour_of(stored(fog, quality=80)) == BLACK_AND_WHITE
    fog[300:320, 200:220] = spot
    assert colour_of(stored(fog, quality=80)) == FULL


def test_a_screenshot_with_a_line_in_colour_is_in_colour_and_one_without_is_not() -> None:
    screen = np.full((900, 1600, 3), 255.0)
    for line in range(40, 860, 40):
        screen[line : line + 16, 100:1400:3] = 20
    assert colour_of(stored(screen, "PNG")) == BLACK_AND_WHITE
    screen[200:216, 100:300:3] = (0, 0, 238)
    assert colour_of(stored(screen, "PNG")) == FULL


def test_blue_haze_over_snow_is_no_tone() -> None:
    snow = np.linspace(120, 250, 640)[np.newaxis, :, np.newaxis] * np.array([0.93, 0.97, 1.0])
    assert colour_of(stored(np.repeat(snow, 480, axis=0), quality=80)) == FULL


def test_a_brown_dog_in_snow_is_in_colour() -> None:
    snow = np.full((480, 640, 3), 240.0)
    down, across = np.mgrid[:480, :640]
    snow[(down - 300) ** 2 + (across - 300) ** 2 < 90**2] = (110, 75, 45)
    assert colour_of(stored(snow, quality=80)) == FULL


def test_colours_that_cancel_each_other_out_are_colours() -> None:
    photo = Image.new("RGB", (64, 64), (140, 120, 100))
    photo.paste((100, 120, 140), (0, 0, 64, 32))
    assert colour_of(photo) == FULL


def test_an_image_of_one_pixel_is_told_too() -> None:
    assert [colour_of(Image.new("RGB", (1, 1), name)) for name in ("gray", "red")] == [BLACK_AND_WHITE, FULL]

"""Torch's resize against Pillow's, with which a question by photo is prepared."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from indexer import shipped
from indexer.encoders.resizing import TorchPreprocessing, channels_last
from indexer.photos.opening import open_photo
from indexer.photos.pixels import SIDEWAYS
from indexer.photos.preprocessing import Preprocessing

PHOTOS = sorted(shipped("photos").glob("*.jpg"))
MODES = ("shortest", "longest", "squash")


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of two prepared photos as a model sees them, scaled to -1..1."""
    one, other = (values.astype(float).ravel() / 127.5 - 1 for values in (one, other))
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def both(recipe: Preprocessing, path: Path) -> tuple[np.ndarray, np.ndarray]:
    return recipe.prepare(open_photo(path)), TorchPreprocessing.of(recipe).prepare(open_photo(path))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_every_photo_is_prepared_as_pillow_does_to_one_step_of_a_byte(mode: str, interpolation: str) -> None:
    recipe = Preprocessing(224, (0.5,) * 3, (0.5,) * 3, interpolation, mode, fill=128)
    for photo in PHOTOS:
        slow, fast = both(recipe, photo)
        assert fast.shape == (3, 224, 224)
        assert fast.dtype == np.uint8
        # a step in the darkest colours of Adobe RGB, which the rocket has, is up to three of sRGB
        assert np.abs(slow.astype(int) - fast).max() <= (3 if photo.stem == "rocket" else 1), photo.name
        assert cosine(slow, fast) > 0.9999


@pytest.mark.parametrize("mode", MODES)
def test_a_side_that_the_decoders_scale_does_not_divide_is_not_stretched(mode: str, tmp_path: Path) -> None:
    for width, height in ((1801, 1207), (1207, 1801), (899, 901)):
        with Image.open(PHOTOS[0]) as photo:
            photo.resize((width, height), Image.Resampling.BICUBIC).save(tmp_path / "odd.jpg", quality=90)
        slow, fast = both(Preprocessing(64, (0.5,) * 3, (0.5,) * 3, mode=mode), tmp_path / "odd.jpg")
        assert np.abs(slow.astype(int) - fast).max() <= 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 60000), (60000, 1), (225, 224), (5, 7), (500, 100)])
def test_any_shape_becomes_the_square_of_pillow(mode: str, size: tuple[int, int], tmp_path: Path) -> None:
    bands = np.linspace(0, 255, size[0] * size[1] * 3).astype(np.uint8).reshape(size[1], size[0], 3)
    Image.fromarray(bands).save(tmp_path / "odd.png")
    slow, fast = both(Preprocessing(224, (0.5,) * 3, (0.5,) * 3, mode=mode), tmp_path / "odd.png")
    assert np.abs(slow.astype(int) - fast).max() <= 2


@pytest.mark.parametrize("interpolation", ["lanczos", "nearest"])
def test_what_torch_cannot_do_pillow_does(interpolation: str) -> None:
    slow, fast = both(Preprocessing(64, (0.5,) * 3, (0.5,) * 3, interpolation), PHOTOS[0])
    assert (slow == fast).all()


def test_a_batch_holds_the_pictures_however_they_lie_in_memory() -> None:
    random = np.random.default_rng(0)
    plain = [random.integers(0, 256, (3, 5, 4), dtype=np.uint8) for _ in range(3)]
    turned = [np.ascontiguousarray(picture.transpose(1, 2, 0)).transpose(2, 0, 1) for picture in plain]
    for pictures in (plain, turned):
        batch = channels_last(pictures)
        assert (batch.numpy() == np.stack(plain)).all()
    assert batch.is_contiguous(memory_format=torch.channels_last)  # as recipes make them


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("mode", MODES)
def test_a_jpeg_stands_upright_as_pillow_turns_it(turn: int, mode: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    with Image.open(PHOTOS[0]) as photo:
        photo.resize((641, 479), Image.Resampling.BICUBIC).save(tmp_path / "turned.jpg", exif=exif, quality=90)
    recipe = Preprocessing(64, (0.5,) * 3, (0.5,) * 3, mode=mode, fill=128)
    slow, fast = both(recipe, tmp_path / "turned.jpg")
    apart = np.abs(slow.astype(int) - fast)
    assert cosine(slow, fast) > 0.9999
    # of one that lies on its side, width comes before height in one way and after it in the other, each clipped
    assert (apart > 1).mean() < (0.005 if turn in SIDEWAYS else 1e-9)

"""Photos prepared for a model, against plain decoding."""

import math
from pathlib import Path

import numpy as np
import pytest
from make_photos import CAT
from PIL import Image, ImageOps

from indexer.photos.opening import open_photo
from indexer.photos.preprocessing import Preprocessing

RECIPES = {
    "shortest": Preprocessing(224, (0.5,) * 3, (0.5,) * 3),
    "longest": Preprocessing(224, (0.5,) * 3, (0.5,) * 3, mode="longest", fill=128),
    "squash": Preprocessing(224, (0.5,) * 3, (0.5,) * 3, mode="squash", interpolation="bilinear"),
}


def enlarged(path: Path, megapixels: float, folder: Path) -> Path:
    """A demo photo as a JPEG of that many megapixels."""
    with Image.open(path) as photo:
        factor = math.sqrt(megapixels * 1e6 / (photo.width * photo.height))
        size = round(photo.width * factor), round(photo.height * factor)
        large = photo.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    large.save(folder / f"{megapixels}-{path.name}", quality=90)
    return folder / f"{megapixels}-{path.name}"


def plainly(path: Path, recipe: Preprocessing) -> np.ndarray:
    """The slow truth: all pixels decoded, then resized and cut or padded as the words say. `[3, size, size]`."""
    with Image.open(path) as photo:
        photo = ImageOps.exif_transpose(photo).convert("RGB")
    size, method = (recipe.size, recipe.size), getattr(Image.Resampling, recipe.interpolation.upper())
    if recipe.mode == "squash":
        square = photo.resize(size, method)
    elif recipe.mode == "shortest":
        scaled = tuple(recipe.size * side // min(photo.size) for side in photo.size)
        left, top = (round((side - recipe.size) / 2) for side in scaled)
        square = photo.resize(scaled, method).crop((left, top, left + recipe.size, top + recipe.size))
    else:
        square = ImageOps.pad(photo, size, method, color=(recipe.fill,) * 3)
    return np.asarray(square).transpose(2, 0, 1)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of two tensors as a model sees them, scaled to -1..1."""
    one, other = (values.astype(float).ravel() / 127.5 - 1 for values in (one, other))
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("mode", RECIPES)
@pytest.mark.parametrize("photo", [CAT, CAT.with_name("grass.jpg"), CAT.with_name("page.jpg")], ids=lambda p: p.stem)
def test_the_prepared_photo_is_that_of_plain_decoding(photo: Path, mode: str, tmp_path: Path) -> None:
    recipe = RECIPES[mode]
    for path in (photo, enlarged(photo, 2, tmp_path)):
        prepared = recipe.prepare(open_photo(path))
        assert prepared.shape == (3, 224, 224)
        assert prepared.dtype == np.uint8
        assert cosine(prepared, plainly(path, recipe)) > 0.999


def test_a_photo_of_twelve_megapixels_is_prepared_like_plain_decoding(tmp_path: Path) -> None:
    path = enlarged(CAT.with_name("motorcycle.jpg"), 12, tmp_path)
    for recipe in RECIPES.values():
        assert cosine(recipe.prepare(open_photo(path)), plainly(path, recipe)) > 0.999


@pytest.mark.parametrize("mode", RECIPES)
@pytest.mark.parametrize("size", [(1, 1), (1, 60000), (60000, 1), (225, 224), (5, 7)])
def test_any_shape_becomes_the_square_that_the_model_wants(size: tuple[int, int], mode: str, tmp_path: Path) -> None:
    Image.new("RGB", size, "orange").save(tmp_path / "odd.png")
    prepared = RECIPES[mode].prepare(open_photo(tmp_path / "odd.png"))
    assert prepared.shape == (3, 224, 224)
    if mode != "longest":
        assert (prepared == np.array([255, 165, 0]).reshape(3, 1, 1)).all()


def test_the_middle_of_a_panorama_is_what_is_seen(tmp_path: Path) -> None:
    panorama = Image.new("RGB", (1000, 100), "red")
    panorama.paste("blue", (450, 0, 550, 100))
    panorama.save(tmp_path / "panorama.png")
    prepared = RECIPES["shortest"].prepare(open_photo(tmp_path / "panorama.png"))
    assert (prepared[:, :, 2:-2] == np.array([0, 0, 255]).reshape(3, 1, 1)).all()

"""The shipped encoder's photos in numpy: the same vectors as torch's, torch where it pays, and a refusal in words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from indexer.encoders import Encoder, load_encoder
from indexer.encoders.embedded import CONFIG, MANY, Convolution, NumpyImageTower
from indexer.encoders.embedded_image import Conv, ImageTower
from indexer.encoders.layers import ConvShape
from indexer.errors import EncoderUnavailable
from indexer.items import Float32Array
from indexer.photos.opening import open_photo
from indexer.shipped import shipped

PHOTOS = sorted(shipped("photos").glob("*.jpg"))
SIZES = [(1, 1), (3, 400), (900, 5), (223, 225), (1000, 701)]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("embedded", device="cpu")


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    whole = open_photo(PHOTOS[0])
    noise = np.random.default_rng(0).integers(0, 256, (97, 61, 3), dtype=np.uint8)
    odd = [*(whole.resize(size) for size in SIZES), Image.fromarray(noise), Image.new("L", (50, 80))]
    return [*map(open_photo, PHOTOS), *odd]


@pytest.fixture(scope="module")
def light(encoder: Encoder, pictures: list[Image.Image]) -> Float32Array:
    return encoder.for_asking().embed("image", pictures)


def test_vectors_are_those_of_torch_in_float32(
    light: Float32Array, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.encoders.embedded_image.pick_dtype", lambda _: torch.float32)
    monkeypatch.setattr("indexer.encoders.embedded_image.TorchRecipe.of", lambda recipe: recipe)  # the same pixels
    exact = load_encoder("embedded", device="cpu").embed("image", pictures)
    assert np.abs(light - exact).max() < 1e-5


def test_vectors_are_near_those_that_a_library_holds(
    light: Float32Array, pictures: list[Image.Image], encoder: Encoder
) -> None:
    # Real photos only: where there is nothing to see, bfloat16 itself strays from float32 by a little more.
    held = encoder.embed("image", pictures[: len(PHOTOS)])
    assert (light[: len(PHOTOS)] * held).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolution_is_torchs_on_sides_odd_and_even(kernel: int, stride: int, groups: int) -> None:
    torch.manual_seed(0)
    shape = ConvShape(8, 8 if groups > 1 else 12, kernel, stride, groups, relu=kernel == 3)
    slow = Conv(shape).requires_grad_(False)
    assert slow.bias is not None
    fast = Convolution.of(shape, slow.weight.numpy(), slow.bias.numpy())
    for height, width in ((7, 10), (12, 9), (1, 2)):
        x = torch.randn(8, height, width)
        expected = slow(x[np.newaxis])[0].permute(1, 2, 0).numpy()
        found = fast(np.ascontiguousarray(x.permute(1, 2, 0).numpy()))
        assert found.shape == expected.shape
        assert np.allclose(found, expected, atol=1e-5)


def test_groups_that_numpy_does_not_compute_are_refused() -> None:
    with pytest.raises(ValueError, match="groups"):
        Convolution.of(ConvShape(8, 8, 1, 1, 2, relu=False), np.zeros((8, 4, 1, 1)), np.zeros(8))


def test_many_photos_at_once_go_to_torch_and_few_do_not(encoder: Encoder) -> None:
    tower = encoder.for_asking().tower("image")
    assert isinstance(tower, NumpyImageTower)
    heavy = CountingTower()
    tower = NumpyImageTower(tower.recipe, tower._model, heavy.made)  # type: ignore[arg-type]
    photo = tower.prepare(Image.new("RGB", (9, 9)))
    tower.embed([photo] * 2)
    assert (heavy.makings, heavy.embedded) == (0, 0)
    tower.embed([photo] * MANY)
    tower.embed([photo] * MANY)
    assert (heavy.makings, heavy.embedded) == (1, 2 * MANY)


class CountingTower:
    """Counts how often it is made, and what it is given to embed."""

    def __init__(self) -> None:
        self.makings = self.embedded = 0

    def made(self) -> CountingTower:
        self.makings += 1
        return self

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        self.embedded += len(prepared)
        return np.zeros((len(prepared), 256), np.float32)


def test_parts_of_a_photo_are_seen_as_ever(encoder: Encoder) -> None:
    seen = encoder.for_asking().tower("image").regions(open_photo(PHOTOS[0]))  # type: ignore[attr-defined]
    expected = encoder.tower("image").regions(open_photo(PHOTOS[0]))  # type: ignore[attr-defined]
    assert np.array_equal(seen.rows, expected.rows)
    assert seen.box == expected.box


def test_indexing_is_torchs_and_so_is_whatever_device_is_named(encoder: Encoder) -> None:
    assert isinstance(encoder.tower("image"), ImageTower)
    with pytest.raises(EncoderUnavailable, match="abacus"):
        load_encoder("embedded", device="abacus").for_asking().tower("image")


def test_weights_of_another_shape_are_refused_with_a_remedy(tmp_path: Path) -> None:
    copy = shutil.copytree(shipped("models", "embedded"), tmp_path / "other")
    config = json.loads((copy / CONFIG).read_text())
    config["image"]["blocks"][0]["convs"][0]["kernel"] = 5
    (copy / CONFIG).write_text(json.dumps(config))
    with pytest.raises(EncoderUnavailable, match="do not fit"):
        load_encoder(f"embedded:{copy}").for_asking().tower("image")

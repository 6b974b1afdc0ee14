"""The shipped encoder: its file form, what it refuses, that it answers text without torch, and that it knows things."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from indexer import shipped
from indexer.encoders import Encoder, load_encoder
from indexer.encoders.embedded import CONFIG, FORMAT, MANY, WEIGHTS, Convolution, NumpyImageTower, read_config
from indexer.encoders.embedded_image import Conv, ImageTower
from indexer.encoders.layers import ConvShape
from indexer.errors import EncoderUnavailable
from indexer.items import Float32Array
from indexer.photos.opening import open_photo

FOLDER = shipped("models", "embedded")


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("embedded", device="cpu")


def photo(name: str) -> Image.Image:
    return Image.open(shipped("photos", name))


def test_both_towers_give_unit_rows_of_the_same_dimension(encoder):
    photos = encoder.embed("image", [photo("cat.jpg"), photo("coffee.jpg")])
    texts = encoder.embed("text", ["a cat", "a cup of coffee"])
    assert photos.shape == texts.shape == (2, encoder.dimension)
    assert photos.dtype == texts.dtype == np.float32
    assert np.allclose(np.linalg.norm(np.concatenate([photos, texts]), axis=1), 1, atol=1e-5)


def test_a_cat_is_a_cat_and_coffee_is_coffee(encoder):
    similarity = (
        encoder.embed("text", ["a cat", "a cup of coffee"])
        @ encoder.embed("image", [photo("cat.jpg"), photo("coffee.jpg")]).T
    )
    assert similarity.argmax(axis=1).tolist() == [0, 1]


def test_a_photo_does_not_depend_on_its_company(encoder):
    names = ["cat.jpg", "coffee.jpg", "rocket.jpg"]
    together = encoder.embed("image", [photo(name) for name in names])
    alone = np.concatenate([encoder.embed("image", [photo(name)]) for name in names])
    # Kernels differ with the batch size, in bfloat16 visibly so.
    assert (together * alone).sum(axis=1).min() > 0.999


def test_fast_arithmetic_gives_the_same_vectors_as_float32(monkeypatch):
    import torch

    tower = load_encoder("embedded", device="cpu").tower("image")
    photos = [tower.prepare(photo(name)) for name in ("cat.jpg", "coffee.jpg", "page.jpg", "grass.jpg")]
    fast = tower.embed(photos)
    monkeypatch.setattr("indexer.encoders.embedded_image.pick_dtype", lambda _: torch.float32)
    exact = load_encoder("embedded", device="cpu").tower("image").embed(photos)
    assert (fast * exact).sum(axis=1).min() > 0.999


def test_a_sentence_is_embedded_without_importing_torch():
    script = (
        "import sys; from indexer.encoders import load_encoder; "
        "load_encoder('embedded').embed('text', ['a dog']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_checksum_is_that_of_the_weights():
    content = (FOLDER / WEIGHTS).read_bytes()
    assert read_config(FOLDER)["checksum"] == hashlib.sha256(content).hexdigest()[:16]


def test_the_whole_folder_is_small_enough_to_ship():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 45e6


def test_other_weights_of_the_same_form_are_named_by_their_folder(tmp_path):
    copy = shutil.copytree(FOLDER, tmp_path / "mine")
    assert load_encoder(f"embedded:{copy}").embed("text", ["a dog"]).shape[0] == 1


def test_a_folder_without_an_encoder_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(EncoderUnavailable, match="python -m training shipped"):
        load_encoder(f"embedded:{tmp_path}")


def test_a_newer_form_is_refused(tmp_path):
    copy = shutil.copytree(FOLDER, tmp_path / "newer")
    config = json.loads((copy / CONFIG).read_text())
    (copy / CONFIG).write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(EncoderUnavailable, match="update Descry"):
        load_encoder(f"embedded:{copy}")


def test_damaged_weights_are_refused(tmp_path):
    copy = shutil.copytree(FOLDER, tmp_path / "damaged")
    (copy / WEIGHTS).write_bytes((copy / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(EncoderUnavailable, match="cannot be read"):
        load_encoder(f"embedded:{copy}").tower("text")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("tokenizer.json", b"{"),
        ("tokenizer.json", b"\xff" * 100),
        ("tokenizer.json", b"[]"),
        ("config.json", b'{"format": %d}' % FORMAT),
        ("config.json", b'{"format": %d, "dimension": "x", "checksum": 1, "image": []}' % FORMAT),
        ("config.json", b'{"format": %d, "dimension": 256, "checksum": "a", "image": {}}' % FORMAT),
        ("config.json", b"3"),
        ("model.safetensors", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"),
    ],
)
def test_every_damaged_file_is_refused_in_one_line(name, damage, tmp_path):
    copy = shutil.copytree(FOLDER, tmp_path / "damaged")
    (copy / name).write_bytes(damage)
    with pytest.raises(EncoderUnavailable, match="install Descry again") as refusal:
        encoder = load_encoder(f"embedded:{copy}", device="cpu")
        encoder.embed("text", ["a dog"])
        encoder.for_asking().embed("image", [Image.new("RGB", (80, 70))])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("wrong", [128, True, "256", None])
@pytest.mark.parametrize("everywhere", [False, True])
def test_a_config_whose_dimension_is_not_that_of_the_weights_is_refused(wrong, everywhere, tmp_path):
    copy = shutil.copytree(FOLDER, tmp_path / "copy")
    config = json.loads((copy / CONFIG).read_text()) | {"dimension": wrong}
    if everywhere:
        config["image"]["dimension"] = wrong
    (copy / CONFIG).write_text(json.dumps(config))
    with pytest.raises(EncoderUnavailable, match="damaged or do not fit each other"):
        load_encoder(f"embedded:{copy}", device="cpu").tower("text")


def test_a_device_that_is_not_there_is_refused_and_those_that_are_named():
    with pytest.raises(EncoderUnavailable, match="cpu"):
        load_encoder("embedded", device="abacus").tower("image")


def test_shipped_paths_exist():
    assert isinstance(FOLDER, Path)
    assert FOLDER.is_dir()


PHOTOS = sorted(shipped("photos").glob("*.jpg"))
SIZES = [(1, 1), (3, 400), (900, 5), (223, 225), (1000, 701)]


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
    monkeypatch.setattr(
        "indexer.encoders.embedded_image.TorchPreprocessing.of", lambda recipe: recipe
    )  # the same pixels
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

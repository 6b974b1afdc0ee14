"""The shipped encoder: its file form, what it refuses, that it answers text without torch, and that it knows things."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer.encoders import load_encoder
from indexer.encoders.embedded import CONFIG, FORMAT, WEIGHTS, read_config
from indexer.errors import EncoderUnavailable
from indexer.shipped import shipped

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


def test_a_device_that_is_not_there_is_refused_and_those_that_are_named():
    with pytest.raises(EncoderUnavailable, match="cpu"):
        load_encoder("embedded", device="abacus").tower("image")


def test_shipped_paths_exist():
    assert isinstance(FOLDER, Path)
    assert FOLDER.is_dir()

"""The bare encoder's share of the chip: counted as by hand, and told with what it is a share of."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from benchmarks import encoding
from benchmarks.encoding import embedding, flops, from_files, multiplication, multiplying
from benchmarks.machine import machine
from benchmarks.setting import Setting
from indexer import shipped
from indexer.encoders import load_encoder
from indexer.testing import color_encoder

CPU = torch.device("cpu")


def test_operations_are_counted_as_by_hand() -> None:
    patches, width, tokens, layers = 49, 768, 50, 12
    into = patches * (3 * 32 * 32) * width
    block = tokens * (4 * width**2 + 2 * width * 4 * width) + 2 * tokens**2 * width  # matrices, then attention
    assert flops("ViT-B-32") == 2 * (into + layers * block + width * 512)


def test_matrices_are_multiplied_as_often_as_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    multiplied: list[tuple[int, ...]] = []
    real = torch.mm
    monkeypatch.setattr(torch, "mm", lambda *pair, out: multiplied.append(out.shape) or real(*pair, out=out))
    multiplication(16, 3, CPU, torch.float32)()
    assert multiplied == [(16, 16)] * 3


def test_every_ready_photo_lies_apart_and_as_it_was_prepared() -> None:
    class Watching:
        def prepare(self, _):
            return np.zeros((2, 2, 3), np.uint8).transpose(2, 0, 1)

        def embed(self, photos):
            assert len({photo.ctypes.data for photo in photos}) == len(photos) == 5
            assert {photo.strides for photo in photos} == {(1, 6, 3)}
            return np.zeros((5, 2), np.float32)

    assert embedding(Watching(), 5)().shape == (5, 2)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """Beside a model so small that it is loaded in no time."""
    folder = tmp_path_factory.mktemp("multiplying")
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
    }
    (folder / "ViT-small-for-multiplying.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "ViT-small-for-multiplying.json")
    return Setting(load_encoder(), shipped("photos"), (2000,), folder, "cpu", "ViT-small-for-multiplying")


def test_the_share_is_that_of_the_rate_in_the_same_run(small: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SIDE", 64), ("TIMES", 1), ("MULTIPLIED", 2)):
        monkeypatch.setattr(encoding, name, value)
    peak, bare, share = multiplying(small)
    assert share.beside == peak.value
    assert share.value == pytest.approx(bare.value * flops(small.reference) / 1e12)
    assert peak.name in share.reference


def test_without_a_reference_the_chip_is_told_alone(small: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "SIDE", 64)
    (peak,) = multiplying(Setting(small.encoder, small.photos, small.sizes, small.folder, "cpu", reference=""))
    assert peak.name.startswith("matrices of 64 x 64 in ")


def test_the_pipeline_is_told_beside_the_bare_encoder(small: Setting) -> None:
    files = sorted(small.jpegs(32, 32, 64).iterdir())
    figure = from_files("colours", color_encoder(), files, 1e6)
    assert figure.value > 0
    assert (figure.beside, figure.reached) == (1e6, False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_on_a_gpu_the_pipeline_is_measured_too(small: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("GPU_SIDE", 512), ("GPU_TIMES", 1), ("MULTIPLIED", 2), ("FILES", 64)):
        monkeypatch.setattr(encoding, name, value)
    setting = Setting(small.encoder, small.photos, small.sizes, small.folder, "cuda", small.reference)
    *_, share, pipeline = multiplying(setting)
    assert share.ratio
    assert 0 < share.ratio < 1
    assert pipeline.reference == "the bare encoder"


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_the_machine_names_its_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "gpu" not in machine()
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 580.1'\necho 'NVIDIA T4, 580.1'\n")
    tool.chmod(0o755)
    assert machine()["gpu"] == "NVIDIA H100 80GB HBM3, 580.1; NVIDIA T4, 580.1"
    tool.write_text("#!/bin/sh\necho 'No devices were found'\nexit 6\n")
    assert "gpu" not in machine()

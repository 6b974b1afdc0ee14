"""Fused convolutions against plain ones: the same numbers, whatever the photo's side."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from indexer.encoders import embedded_image, load_encoder
from indexer.encoders.embedded_shape import BlockShape, ConvShape
from indexer.encoders.embedded_trunk import Trunk
from indexer.encoders.fused import LAYOUTS, FusedConv, can_fuse, fuse

CPU = torch.device("cpu")

SHAPE = (
    BlockShape(False, (ConvShape(3, 8, 3, 2, 1, relu=True), ConvShape(8, 8, 5, 2, 8, relu=True))),
    BlockShape(True, (ConvShape(8, 16, 1, 1, 1, relu=True), ConvShape(16, 8, 3, 1, 1, relu=False))),
)

needs_onednn = pytest.mark.skipif(not can_fuse(CPU), reason="this torch has no oneDNN")


@needs_onednn
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("side", [32, 45, 224])
def test_a_fused_trunk_computes_what_the_plain_one_does(dtype: torch.dtype, side: int) -> None:
    torch.manual_seed(0)
    plain = Trunk(SHAPE).requires_grad_(False).to(dtype).to(memory_format=torch.channels_last)
    fused = deepcopy(plain)
    fuse(fused)
    photos = torch.randint(0, 256, (3, 3, side, side), dtype=torch.uint8)
    with torch.inference_mode():
        expected, found = plain.cells(photos).float(), fused.cells(photos).float()
    assert found.shape == expected.shape
    # bfloat16 has 8 bits, and CPUs without its instructions round between convolution and ReLU, or do not
    assert torch.allclose(found, expected, rtol=0.02 if dtype == torch.bfloat16 else 1e-4, atol=1e-2)


@needs_onednn
def test_every_number_of_photos_is_computed_alike_and_few_layouts_are_kept() -> None:
    torch.manual_seed(0)
    trunk = Trunk(SHAPE).requires_grad_(False).to(memory_format=torch.channels_last)
    photos = torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        expected = trunk.cells(photos)
        fuse(trunk)
        for count in (*range(1, 8), 1, 7):
            assert torch.allclose(trunk.cells(photos[:count]), expected[:count], rtol=1e-4, atol=1e-3)
    held = [len(module._layouts) for module in trunk.modules() if isinstance(module, FusedConv)]
    assert held
    assert max(held) <= LAYOUTS


@needs_onednn
def test_the_shipped_vectors_are_the_same_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [np.random.default_rng(0).integers(0, 256, (3, 224, 224), dtype=np.uint8)] * 3
    fused = load_encoder("embedded", device="cpu").tower("image").embed(photos)
    monkeypatch.setattr(embedded_image, "can_fuse", lambda _: False)
    plain = load_encoder("embedded", device="cpu").tower("image").embed(photos)
    assert np.vecdot(fused, plain).min() > 0.9999


def test_other_devices_keep_the_plain_ones() -> None:
    assert not can_fuse(torch.device("cuda"))
    assert not can_fuse(torch.device("mps"))

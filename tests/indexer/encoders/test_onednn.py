"""Layers by oneDNN against plain ones: the same numbers where the processor has them, the plain layers elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock, Transformer
from torch import nn

from indexer import Library, index_sources, pipeline, shipped
from indexer.encoders import embedded_image, load_encoder, open_clip_model, resizing
from indexer.encoders.devices import pick_dtype
from indexer.encoders.embedded_image import Trunk
from indexer.encoders.layers import BlockShape, ConvShape
from indexer.encoders.onednn import (
    LAYOUTS,
    FusedConv,
    Int8Linear,
    PackedAttention,
    PackedLinear,
    fuse_convolutions,
    pack_linear,
    quantize_linear,
    runs_convolutions,
    runs_int8,
    runs_linear,
)
from indexer.photos.opening import open_photo

CPU = torch.device("cpu")
DTYPES = (torch.float32, torch.bfloat16)
PHOTOS = sorted(shipped("photos").glob("*.jpg"))

SHAPE = (
    BlockShape(False, (ConvShape(3, 8, 3, 2, 1, relu=True), ConvShape(8, 8, 5, 2, 8, relu=True))),
    BlockShape(True, (ConvShape(8, 16, 1, 1, 1, relu=True), ConvShape(16, 8, 3, 1, 1, relu=False))),
)

Runs = Callable[[torch.device, torch.dtype], bool]


convolves = partial(runs_convolutions, Trunk)


def formats(runs: Runs) -> list[Any]:
    """The number formats, those that this torch does not run on this processor skipped."""
    return [
        pytest.param(dtype, marks=pytest.mark.skipif(not runs(CPU, dtype), reason=f"no {dtype} by oneDNN here"))
        for dtype in DTYPES
    ]


@pytest.mark.parametrize("dtype", formats(convolves))
@pytest.mark.parametrize("side", [32, 45, 224])
def test_a_fused_trunk_computes_what_the_plain_one_does(dtype: torch.dtype, side: int) -> None:
    torch.manual_seed(0)
    plain = Trunk(SHAPE).requires_grad_(False).to(dtype).to(memory_format=torch.channels_last)
    fused = deepcopy(plain)
    fuse_convolutions(fused)
    photos = torch.randint(0, 256, (3, 3, side, side), dtype=torch.uint8)
    with torch.inference_mode():
        expected, found = plain.cells(photos).float(), fused.cells(photos).float()
    assert found.shape == expected.shape
    # bfloat16 has 8 bits, and CPUs without its instructions round between convolution and ReLU, or do not
    assert torch.allclose(found, expected, rtol=0.02 if dtype == torch.bfloat16 else 1e-4, atol=1e-2)


@pytest.mark.parametrize("dtype", formats(convolves)[:1])
def test_every_number_of_photos_is_computed_alike_and_few_layouts_are_kept(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    trunk = Trunk(SHAPE).requires_grad_(False).to(dtype).to(memory_format=torch.channels_last)
    photos = torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        expected = trunk.cells(photos)
        fuse_convolutions(trunk)
        for count in (*range(1, 8), 1, 7):
            assert torch.allclose(trunk.cells(photos[:count]), expected[:count], rtol=1e-4, atol=1e-3)
    held = [module._layout.cache_info().currsize for module in trunk.modules() if isinstance(module, FusedConv)]
    assert held
    assert max(held) <= LAYOUTS


def blocks(dtype: torch.dtype, **options: object) -> Transformer:
    torch.manual_seed(0)
    return Transformer(width=64, layers=2, heads=4, **options).eval().requires_grad_(False).to(dtype)


@pytest.mark.parametrize("dtype", formats(runs_linear))
@pytest.mark.parametrize(("count", "length"), [(1, 1), (1, 5), (3, 2), (16, 50)])
def test_a_packed_transformer_computes_what_the_plain_one_does(dtype: torch.dtype, count: int, length: int) -> None:
    plain = blocks(dtype)
    packed = deepcopy(plain)
    pack_linear(packed)
    states = torch.randn(count, length, 64, dtype=dtype)
    with torch.inference_mode():
        for given in (states, states[:, :1].expand(-1, length, -1)):
            expected, found = plain(given).float(), packed(given).float()
            assert torch.allclose(found, expected, rtol=0.02, atol=0.03)
            assert torch.cosine_similarity(found, expected, dim=-1).min() > 0.9999


needs_int8 = pytest.mark.skipif(not runs_int8(CPU), reason="no int8 by oneDNN here")


@needs_int8
@pytest.mark.parametrize("least", [None, -0.17])
def test_an_int8_layer_is_a_float32_one_but_for_the_rounding(least: float | None) -> None:
    torch.manual_seed(0)
    weight, bias, x = torch.randn(48, 64), torch.randn(48), torch.randn(7, 5, 64)
    x[0, 0], weight[0] = x.max(), weight.max()  # the largest sums that there can be
    x[1], x[2, 2] = 100 * x[1], 0
    x = torch.nn.functional.gelu(x) if least is not None else x
    with torch.inference_mode():
        expected, found = torch.nn.functional.linear(x, weight, bias), Int8Linear(weight, bias, least=least)(x)
    assert found.shape == expected.shape
    lengths = x.norm(dim=-1, keepdim=True) * weight.norm(dim=1).max()
    assert ((found - expected).abs() <= 0.02 * lengths + 1e-5).all()


@needs_int8
def test_channels_that_stand_out_are_borne_by_the_weights() -> None:
    plain = blocks(torch.float32)
    for block in plain.resblocks:
        block.ln_2.weight[5] *= 50
    states = torch.randn(16, 20, 64)
    quantized = deepcopy(plain)
    with torch.inference_mode():
        expected = plain(states)
        quantize_linear(quantized, lambda: quantized(states[:8]))
        found = quantized(states)
    assert not [module for module in quantized.modules() if isinstance(module, nn.Linear | nn.MultiheadAttention)]
    assert torch.cosine_similarity(found, expected, dim=-1).min() > 0.998


@pytest.mark.parametrize("dtype", formats(runs_linear)[:1])
def test_clips_blocks_are_packed_whole_and_what_is_built_otherwise_stays_as_it_is(dtype: torch.dtype) -> None:
    packed = blocks(dtype)
    pack_linear(packed)
    assert not [module for module in packed.modules() if isinstance(module, nn.Linear | nn.MultiheadAttention)]
    quick = blocks(dtype, act_layer=nn.SiLU)
    pack_linear(quick)
    block = quick.resblocks[0]
    assert isinstance(block, ResidualAttentionBlock)
    assert isinstance(block.attn, PackedAttention)
    assert isinstance(block.mlp[0], nn.Linear)
    other = nn.Sequential(nn.Linear(3, 3), nn.GELU(), nn.Linear(3, 3))
    pack_linear(other)
    assert isinstance(other[0], nn.Linear)


def test_other_devices_and_formats_keep_the_plain_layers() -> None:
    for runs in (convolves, runs_linear):
        assert not runs(torch.device("cuda"), torch.bfloat16)
        assert not runs(torch.device("mps"), torch.float32)
        assert not runs(CPU, torch.float64)


def test_to_ask_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    for dtype in DTYPES:
        convolves(CPU, dtype)
        runs_linear(CPU, dtype)
    assert torch.equal(torch.get_rng_state(), before)


# what a processor or a torch lacks


@needs_int8
@pytest.mark.parametrize(("least", "used"), [(0.9, True), (1.1, False)])
def test_int8_is_used_where_bfloat16_is_slow_and_the_model_bears_it(
    least: float, used: bool, tiny_model: Path, real_photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_clip_model, "pick_dtype", lambda _: torch.float32)
    monkeypatch.setattr(open_clip_model, "LEAST_INT8_COSINE", least)
    tower: Any = load_encoder(f"open_clip:{tiny_model}", device="cpu").tower("image")
    assert any(isinstance(module, Int8Linear) for module in tower._network.modules()) == used
    found = tower.embed([tower.prepare(open_photo(photo)) for photo in real_photos])
    monkeypatch.setattr(open_clip_model, "runs_int8", lambda _: False)
    plain: Any = load_encoder(f"open_clip:{tiny_model}", device="cpu").tower("image")
    expected = plain.embed([plain.prepare(open_photo(photo)) for photo in real_photos])
    assert np.vecdot(found, expected).min() > (0.995 if used else 0.999999)


def refuses(*_: object, **__: object) -> Any:
    raise RuntimeError("bf16 path needs the cpu support avx512bw, avx512vl and avx512dq")


def lies(*given: Any, **__: object) -> Any:
    """What an operator whose arguments have changed their meaning may do."""
    return torch.zeros(1).expand(len(given[0]), 8, 1, 1)


def without_operators(patched: pytest.MonkeyPatch) -> None:
    for name in ("mkldnn", "onednn"):
        patched.setattr(torch.ops, name, SimpleNamespace(), raising=False)
    patched.delattr(torch._C._nn, "mkldnn_reorder_conv2d_weight", raising=False)


def without_any_fast_path(patched: pytest.MonkeyPatch) -> None:
    """Photos decoded and resized by Pillow too, and memory given back at once."""
    without_operators(patched)
    patched.setattr(resizing, "METHODS", ())
    patched.setattr(resizing, "jpeg_pixels", lambda *_, **__: None)
    patched.setattr(pipeline, "keep_freed_memory", lambda: None)


def with_operators_that(answer: Callable[..., Any]) -> Callable[[pytest.MonkeyPatch], None]:
    names = ("_convolution_pointwise", "_convolution_pointwise_", "_linear_pointwise", "_reorder_linear_weight")

    def change(patched: pytest.MonkeyPatch) -> None:
        operators = dict.fromkeys(names, answer) | {"_is_mkldnn_bf16_supported": lambda: False}
        patched.setattr(torch.ops, "mkldnn", SimpleNamespace(**operators), raising=False)
        int8 = dict.fromkeys(("qlinear_prepack", "qlinear_pointwise"), answer)
        patched.setattr(torch.ops, "onednn", SimpleNamespace(**int8), raising=False)
        patched.setattr(torch._C._nn, "mkldnn_reorder_conv2d_weight", answer)

    return change


LACKING: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no operators": without_operators,
    "nothing fast at all": without_any_fast_path,
    "operators that refuse": with_operators_that(refuses),
    "operators that do something else": with_operators_that(lies),
}


@pytest.mark.parametrize("lack", LACKING.values(), ids=LACKING)
def test_real_photos_are_indexed_with_every_fast_path_refused_and_get_the_same_vectors(
    lack: Callable[[pytest.MonkeyPatch], None],
    tiny_model: Path,
    real_photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, photos in (("embedded", PHOTOS), (f"open_clip:{tiny_model}", real_photos)):
        fast = indexed(tmp_path / f"fast {name[:9]}", name, photos)
        with monkeypatch.context() as patched:
            lack(patched)
            assert pick_dtype(CPU) == torch.float32
            assert not runs_int8(CPU)
            assert not any(runs(CPU, dtype) for runs in (convolves, runs_linear) for dtype in DTYPES)
            plain = indexed(tmp_path / f"plain {name[:9]}", name, photos)
        assert fast.keys() == plain.keys()
        assert len(fast) == len(photos)
        assert min(float(fast[path] @ plain[path]) for path in fast) > 0.998


def indexed(folder: Path, name: str, photos: list[Path]) -> dict[Path, np.ndarray[Any, Any]]:
    """The vectors of photos in a new library, by their paths."""
    encoder = load_encoder(name, device="cpu")
    with Library.create(folder, encoder) as library:
        assert not index_sources(library, photos, encoder).failures
        ids = library.catalog.all_ids()
        rows = library.catalog.vectors(ids).rows
        return {item.path: row for item, row in zip(library.catalog.items(ids), rows, strict=True)}


@pytest.mark.parametrize("dtype", formats(convolves)[:1])
def test_towers_use_what_the_processor_has(
    dtype: torch.dtype, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (embedded_image, open_clip_model):
        monkeypatch.setattr(module, "pick_dtype", lambda _: dtype)
    tower: Any = load_encoder("embedded", device="cpu").tower("image")
    assert any(isinstance(module, FusedConv) for module in tower._model.modules())
    if runs_linear(CPU, torch.bfloat16):
        monkeypatch.setattr(open_clip_model, "pick_dtype", lambda _: torch.bfloat16)
        tower = load_encoder(f"open_clip:{tiny_model}", device="cpu").tower("image")
        assert any(isinstance(module, PackedLinear) for module in tower._network.modules())


@pytest.mark.parametrize(
    ("told", "kernels", "onednn_knows", "expected"),
    [
        ({"amx_bf16": True}, "AVX512", True, torch.bfloat16),
        ({"avx512_bf16": True}, "AVX512", True, torch.bfloat16),
        ({"avx512_f": True}, "AVX512", True, torch.float32),
        ({"avx2": True}, "AVX2", False, torch.float32),
        ({"avx512_bf16": True}, "AVX2", True, torch.float32),
        ({"avx512_bf16": True}, "AVX512", False, torch.float32),
        ({}, "DEFAULT", False, torch.float32),
    ],
)
def test_bfloat16_is_for_processors_that_multiply_it_and_may(
    told: dict[str, bool], kernels: str, onednn_knows: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: kernels)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn_knows)
    assert pick_dtype(CPU) == expected


def test_a_torch_that_cannot_say_is_taken_at_its_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert pick_dtype(CPU) == torch.float32

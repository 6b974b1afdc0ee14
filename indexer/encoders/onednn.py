"""Layers as oneDNN runs them best on a CPU: weights laid out once, and what follows a layer in the same pass.

What goes in and comes out is that of the plain layers, to a rounding. The operators are private ones of torch, which
its own compiler calls: they come, go and refuse by version and processor, so that each kind is tried on a small example
before it is used. Gains: docs/performance.md.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from indexer.encoders.layers import BlockShape, ConvShape

# A layout of the weights fits one size of what comes in: so many of them are kept, for whole pieces and the last ones.
LAYOUTS = 4

# Padding that is lopsided copies what comes in. Where this many inputs at most make a group, a kernel with one more row
# and column costs less: 125 CPU microseconds a photo of 3 channels instead of 173; of 32 inputs 154 instead of 123.
FEW_INPUTS = 3

# How far the small examples may be from plain layers, relatively to their largest number: bfloat16 has 8 bits.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05}

# Where int8 is known to be quicker than float32: GFLOP/s of 520 x 768 x 3072 on one core, float32 / int8: 92 / 197 with
# AVX2, 88 / 386 with AVX-512 VNNI. Elsewhere oneDNN may compute it by its slow reference.
QUICK_INT8 = ("x86_64", "amd64")
WEIGHTS_TO = 63
LEAST_GELU = -0.17  # a little below GELU's lowest value
LEAST_RANGE = 1e-6  # of numbers that are all zero


def runs_convolutions(kind: Callable[[Sequence[BlockShape]], Any], device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this torch on this processor runs a trunk's fused convolutions of that format, and as the plain ones.

    `kind` makes a trunk of a shape.
    """

    def trunk() -> Any:
        """One of every kind of convolution; nobody's random numbers are drawn for it."""
        into = BlockShape(False, (ConvShape(3, 8, 3, 2, 1, relu=True), ConvShape(8, 8, 3, 2, 8, relu=True)))
        added = BlockShape(True, (ConvShape(8, 16, 1, 1, 1, relu=True), ConvShape(16, 8, 3, 1, 1, relu=False)))
        with torch.random.fork_rng(devices=[]):
            made = kind((into, added)).requires_grad_(False)
        for weight in made.parameters():
            weight.copy_(_example(*weight.shape))
        return made.to(dtype).to(memory_format=torch.channels_last)

    def fused() -> Any:
        made = trunk()
        fuse_convolutions(made)
        return made.cells(photos)

    photos = torch.arange(2 * 3 * 9 * 9).view(2, 3, 9, 9).to(torch.uint8)
    return _agree(fused, lambda: trunk().cells(photos), device, dtype)


def runs_linear(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this torch on this processor runs packed linear layers of that format, and as the plain ones."""
    x, weight, bias = (_example(*shape).to(dtype) for shape in ((5, 16), (32, 16), (32,)))
    return _agree(
        lambda: PackedLinear(weight, bias, then="gelu")(x),
        lambda: functional.gelu(functional.linear(x, weight, bias)),
        device,
        dtype,
    )


def runs_int8(device: torch.device) -> bool:
    """Whether this torch on this processor multiplies in int8, as in float32 but for the rounding, and quickly."""
    if platform.machine().lower() not in QUICK_INT8:
        return False
    x, weight, bias = (_example(*shape) for shape in ((5, 64), (32, 64), (32,)))
    # the largest of all products side by side: where sums of pairs do not fit, this shows it
    x[0], weight[0] = x.abs().max(), weight.abs().max()
    return _agree(
        lambda: Int8Linear(weight, bias)(x),
        lambda: functional.linear(x, weight, bias),
        device,
        torch.float32,
        tolerance=0.03,
    )


def _agree(
    fast: Callable[[], Tensor],
    plain: Callable[[], Tensor],
    device: torch.device,
    dtype: torch.dtype,
    *,
    tolerance: float | None = None,
) -> bool:
    """Whether both give the same, but for a part of the largest number, by default the format's."""
    if device.type != "cpu" or dtype not in TOLERANCE:
        return False
    with torch.inference_mode():
        expected = plain().float()
        try:
            found = fast().float()
        except Exception:  # missing, with other arguments, or refused by the processor: each has errors of its own
            return False
        return bool((found - expected).abs().max() <= (tolerance or TOLERANCE[dtype]) * expected.abs().max())


def _example(*shape: int) -> Tensor:
    """Numbers of that shape, of both signs and all different."""
    return torch.arange(math.prod(shape)).view(shape).sin() / math.sqrt(shape[-1])


def fuse_convolutions(trunk: Any) -> None:
    """Makes a trunk that stays as it is run faster on the CPU that it is on; it cannot be trained any more."""
    trunk.blocks = nn.Sequential(*(FusedBlock(block) for block in trunk.blocks))


class Layout(NamedTuple):
    """How a convolution is done on what is of one size: `pads` before it, and what oneDNN is given beside it."""

    pads: tuple[int, ...]
    weight: Tensor
    where: tuple[list[int], list[int], list[int], int]


class FusedConv(nn.Module):
    """A `Conv`, its ReLU included."""

    def __init__(self, conv: Any) -> None:
        super().__init__()
        self._shape, self._weight, self._bias = conv.shape, conv.weight.detach(), conv.bias
        self._then = "relu" if conv.relu else "none"
        self._layout = lru_cache(LAYOUTS)(self._lay_out)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, inputs, h, w]` -> `[n, outputs, ceil(h / stride), ceil(w / stride)]`."""
        pads, weight, where = self._layout(x.shape)
        x = functional.pad(x, pads) if pads else x
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(x, weight, self._bias, *where, self._then, [], "")
        return y

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """`total` `[n, outputs, ...]`, to which what `forward` makes of `x` has been added in place."""
        pads, weight, where = self._layout(x.shape)
        if pads or self._then != "none":
            return total.add_(self(x))
        y: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            total, x, weight, self._bias, *where, "add", 1.0, None, [], None
        )
        return y

    def _lay_out(self, size: torch.Size) -> Layout:
        """The layout for what comes in, `[n, inputs, h, w]`; several threads may ask at once."""
        (top, bottom), (left, right) = self._shape.padding(size[2]), self._shape.padding(size[3])
        pads: tuple[int, ...] = (left, right, top, bottom)
        padding, weight = [0, 0], self._weight
        if (top, left) == (bottom, right):
            pads, padding = (), [top, left]
        elif (top + 1, left + 1) == (bottom, right) and self._shape.inputs // self._shape.groups <= FEW_INPUTS:
            # as much before as behind, and a row and a column of zeros to meet what is too much
            pads, padding, weight = (), [bottom, right], functional.pad(weight, (1, 0, 1, 0))
        where = (padding, [self._shape.stride] * 2, [1, 1], self._shape.groups)
        dense = weight.contiguous(memory_format=torch.channels_last).to_mkldnn()
        height, width = size[2] + sum(pads[2:]), size[3] + sum(pads[:2])
        reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # typed without its last argument
        weight = reorder(dense, *where, [*size[:2], height, width])
        return Layout(pads, weight, where)


class FusedBlock(nn.Module):
    """A trunk's block of fused convolutions; a residual one works in place."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        *before, self._last = (FusedConv(conv) for conv in block.convs)
        self._before, self._residual = nn.Sequential(*before), block.residual

    def forward(self, x: Tensor) -> Tensor:
        """`[n, c, h, w]` -> `[n, c', h', w']`."""
        y: Tensor = self._before(x)
        return self._last.add_to(x, y) if self._residual else self._last(y)


def pack_linear(visual: nn.Module) -> None:
    """Packs the blocks of a CLIP vision transformer in place; it cannot be trained or saved any more.

    What is built otherwise stays as it is.
    """
    _replace_linear(visual, PackedLinear)


def quantize_linear(visual: nn.Module, pictures: Callable[[], object]) -> None:
    """Multiplies in the blocks of a CLIP vision transformer with int8, in place, as `pack_linear` does.

    `pictures` sends a few typical pictures through it. Where a channel is many times as large as the others, as in
    every trained transformer, its range is moved from the states into the weights by the scale and shift of the norm
    before them (Xiao et al., "SmoothQuant", 2023).
    """
    norms = {norm: torch.zeros(norm.weight.shape) for norm, _ in _smoothed(visual)}

    def look(norm: nn.Module, _: object, states: Tensor) -> None:
        norms[norm] = torch.maximum(norms[norm], states.abs().flatten(0, -2).amax(0))

    hooks = [norm.register_forward_hook(look) for norm in norms]
    pictures()
    for hook in hooks:
        hook.remove()
    for norm, weight in _smoothed(visual):
        scales = (norms[norm].clamp_min(LEAST_RANGE) / weight.abs().amax(0).clamp_min(LEAST_RANGE)).sqrt()
        norm.weight.div_(scales)
        norm.bias.div_(scales)
        weight.mul_(scales)
    _replace_linear(visual, Int8Linear)


def _smoothed(visual: nn.Module) -> Iterator[tuple[Any, Tensor]]:
    """The norms of the blocks that are replaced, each with the weights `[outputs, inputs]` that its states meet."""

    def scales(norm: object) -> bool:
        return isinstance(norm, nn.LayerNorm) and norm.weight is not None and norm.bias is not None

    block: Any
    for block in visual.modules():
        if _is_plain(getattr(block, "attn", None)) and scales(getattr(block, "ln_1", None)):
            yield block.ln_1, block.attn.in_proj_weight
        if _is_clips(getattr(block, "mlp", None)) and scales(getattr(block, "ln_2", None)):
            yield block.ln_2, block.mlp[0].weight


def _replace_linear(visual: nn.Module, kind: LinearKind) -> None:
    module: Any
    for module in list(visual.modules()):
        if _is_plain(getattr(module, "attn", None)):
            module.attn = PackedAttention(module.attn, kind)
        if _is_clips(getattr(module, "mlp", None)):
            into, _, out = module.mlp
            module.mlp = nn.Sequential(
                kind(into.weight, into.bias, then="gelu"), kind(out.weight, out.bias, least=LEAST_GELU)
            )


def _is_plain(attention: object) -> bool:
    """Whether it is attention with one matrix for queries, keys and values, and nothing beside."""
    return (
        isinstance(attention, nn.MultiheadAttention)
        and attention.batch_first
        and attention.in_proj_weight is not None
        and attention.in_proj_bias is not None
        and attention.bias_k is None
        and not attention.add_zero_attn
    )


def _is_clips(layers: object) -> bool:
    """Whether it is a hidden layer with the exact GELU, and nothing beside."""
    if not isinstance(layers, nn.Sequential) or [type(layer) for layer in layers] != [nn.Linear, nn.GELU, nn.Linear]:
        return False
    return bool(layers[1].approximate == "none")


class PackedLinear(nn.Module):
    """A linear layer of a fixed `weight` `[outputs, inputs]`, and perhaps what comes `then`."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, then: str = "none", least: float | None = None) -> None:  # noqa: ARG002  as `Int8Linear`
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
        self._bias, self._outputs, self._then = bias, len(weight), then

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` -> `[..., outputs]`."""
        rows = x.reshape(-1, x.shape[-1])
        algorithm = "none" if self._then == "gelu" else ""  # GELU by the error function
        y: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, self._bias, self._then, [], algorithm)
        return y.view(*x.shape[:-1], self._outputs)


class Int8Linear(nn.Module):
    """A linear layer of weights in 7 bits, a scale an output, and inputs in 8, a scale a row; float32 in and out.

    Without VNNI, AVX2 adds pairs of products in 16 bits: 2 x 255 x 63 still fits, 2 x 255 x 127 does not.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, then: str = "none", least: float | None = None) -> None:
        """`least` is the lowest input, where it is known: the numbers then begin there, and are twice as fine."""
        super().__init__()
        weight = weight.detach()
        self._scales = weight.abs().amax(1).clamp_min(LEAST_RANGE) / WEIGHTS_TO
        numbers = (weight / self._scales[:, None]).round().to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(numbers, None)
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        self._least, self._then = least, then
        self._bias = torch.zeros(len(weight)) if bias is None else bias.detach().clone()
        if least is not None:
            self._bias += least * self._scales * numbers.float().sum(1)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` -> `[..., outputs]`."""
        rows = x.reshape(-1, x.shape[-1])
        if self._least is None:
            low, high = rows.aminmax(dim=1, keepdim=True)
            units, zero = torch.maximum(high, -low).clamp_min_(LEAST_RANGE).div_(127), 128
            start = torch.full_like(units, zero + 0.5)
        else:
            units, zero = (rows.amax(1, keepdim=True) - self._least).clamp_min_(LEAST_RANGE).div_(255), 0
            start = 0.5 - self._least / units
        numbers = torch.addcmul(start, rows, units.reciprocal()).to(torch.uint8)  # cut off behind the half: rounded
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            numbers, 1.0, zero, self._weight, self._scales, self._zeros, None,
            1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        y = torch.addcmul(self._bias, y, units)
        return (functional.gelu(y) if self._then == "gelu" else y).view(*x.shape[:-1], len(self._scales))


class PackedAttention(nn.Module):
    """Multi-head attention of a sequence to itself, as `torch.nn.MultiheadAttention` is called for it."""

    def __init__(self, attention: nn.MultiheadAttention, kind: LinearKind) -> None:
        super().__init__()
        self._heads = attention.num_heads
        self._into = kind(attention.in_proj_weight, attention.in_proj_bias)
        self._out = kind(attention.out_proj.weight, attention.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, need_weights: bool, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """States `[n, length, width]` -> those of the `query`, the first of them or all; the weights are not told."""
        assert key is value and not need_weights
        n, length, width = key.shape
        asked = query.shape[1]
        # (n, length, 3 width) -> 3 x (n, heads, length, width / heads)
        parts = self._into(key).view(n, length, 3, self._heads, width // self._heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(parts[0][:, :, :asked], parts[1], parts[2], attn_mask=attn_mask)
        return self._out(mixed.transpose(1, 2).reshape(n, asked, width)), None


LinearKind = type[PackedLinear] | type[Int8Linear]

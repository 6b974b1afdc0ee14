"""Layers as oneDNN runs them best on a CPU: weights laid out once, and what follows a layer in the same pass.

What goes in and comes out is that of the plain layers, to a rounding. The operators are private ones of torch, which
its own compiler calls: they come, go and refuse by version and processor. So each kind is tried on a small example
before it is used (`runs_convolutions`, `runs_linear`); where that fails in any way, layers stay as they are.

Gains, in CPU milliseconds a picture: see docs/performance.md for AVX2, AVX-512 and AMX.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from indexer.encoders.embedded_shape import BlockShape, ConvShape
from indexer.encoders.embedded_trunk import Block, Conv, Trunk

# A layout of the weights fits one size of what comes in: so many of them are kept, for whole pieces and the last ones.
LAYOUTS = 4

# Padding that is lopsided copies what comes in. Where this many inputs at most make a group, a kernel with one more row
# and column costs less: CPU microseconds a photo for 3 / 16 / 32 inputs, and for one input in each of 384 groups:
# 173 / 195 / 123 / 131 padded before, 125 / 200 / 154 / 71 with such a kernel.
FEW_INPUTS = 3

# How far the small examples may be from plain layers, relatively to their largest number: bfloat16 has 8 bits.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05}


def runs_convolutions(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this torch on this processor runs fused convolutions of that format, and as the plain ones."""

    def trunk() -> Trunk:
        """One of every kind of convolution; nobody's random numbers are drawn for it."""
        into = BlockShape(False, (ConvShape(3, 8, 3, 2, 1, relu=True), ConvShape(8, 8, 3, 2, 8, relu=True)))
        added = BlockShape(True, (ConvShape(8, 16, 1, 1, 1, relu=True), ConvShape(16, 8, 3, 1, 1, relu=False)))
        with torch.random.fork_rng(devices=[]):
            made = Trunk((into, added)).requires_grad_(False)
        for weight in made.parameters():
            weight.copy_(_example(*weight.shape))
        return made.to(dtype).to(memory_format=torch.channels_last)

    def fused() -> Tensor:
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


def _agree(fast: Callable[[], Tensor], plain: Callable[[], Tensor], device: torch.device, dtype: torch.dtype) -> bool:
    if device.type != "cpu" or dtype not in TOLERANCE:
        return False
    with torch.inference_mode():
        expected = plain().float()
        try:
            found = fast().float()
        except Exception:  # missing, with other arguments, or refused by the processor: each has errors of its own
            return False
        return bool((found - expected).abs().max() <= TOLERANCE[dtype] * expected.abs().max())


def _example(*shape: int) -> Tensor:
    """Numbers of that shape, of both signs and all different."""
    return torch.arange(math.prod(shape)).view(shape).sin() / math.sqrt(shape[-1])


def fuse_convolutions(trunk: Trunk) -> None:
    """Makes a trunk that stays as it is run faster on the CPU that it is on; it cannot be trained any more."""
    trunk.blocks = nn.Sequential(*(FusedBlock(block) for block in trunk.blocks))  # type: ignore[arg-type]


class Layout(NamedTuple):
    """How a convolution is done on what is of one size: `pads` before it, and what oneDNN is given beside it."""

    pads: tuple[int, ...]
    weight: Tensor
    where: tuple[list[int], list[int], list[int], int]


class FusedConv(nn.Module):
    """A `Conv`, its ReLU included."""

    def __init__(self, conv: Conv) -> None:
        super().__init__()
        self._shape, self._weight, self._bias = conv.shape, conv.weight.detach(), conv.bias
        self._then = "relu" if conv.relu else "none"
        self._layouts: dict[torch.Size, Layout] = {}

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

    def _layout(self, size: torch.Size) -> Layout:
        """The layout for that size `[n, inputs, h, w]`; several threads may ask at once."""
        layout = self._layouts.get(size)
        if layout is None:
            layout = self._lay_out(size)
            if len(self._layouts) >= LAYOUTS:
                self._layouts.clear()
            self._layouts[size] = layout
        return layout

    def _lay_out(self, size: torch.Size) -> Layout:
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
    """A `Block` of fused convolutions."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self._convs = nn.ModuleList(FusedConv(conv) for conv in block.convs)  # type: ignore[arg-type]
        self._residual = block.residual

    def forward(self, x: Tensor) -> Tensor:
        """`[n, c, h, w]` -> `[n, c', h', w']`; a residual block works in place."""
        *before, last = self._convs
        y = x
        for conv in before:
            y = conv(y)
        return last.add_to(x, y) if self._residual else last(y)  # type: ignore[operator,no-any-return]


def pack_linear(visual: nn.Module) -> None:
    """Packs the blocks of a CLIP vision transformer in place; it cannot be trained or saved any more.

    What is built otherwise stays as it is.
    """
    module: Any
    for module in list(visual.modules()):
        if _is_plain(getattr(module, "attn", None)):
            module.attn = PackedAttention(module.attn)
        if _is_clips(getattr(module, "mlp", None)):
            into, _, out = module.mlp
            module.mlp = nn.Sequential(PackedLinear(into.weight, into.bias, then="gelu"), _packed(out))


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

    def __init__(self, weight: Tensor, bias: Tensor | None, *, then: str = "none") -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
        self._bias, self._outputs, self._then = bias, len(weight), then

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` -> `[..., outputs]`."""
        rows = x.reshape(-1, x.shape[-1])
        algorithm = "none" if self._then == "gelu" else ""  # GELU by the error function
        y: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, self._bias, self._then, [], algorithm)
        return y.view(*x.shape[:-1], self._outputs)


class PackedAttention(nn.Module):
    """Multi-head attention of a sequence to itself, as `torch.nn.MultiheadAttention` is called for it."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self._heads = attention.num_heads
        self._into = PackedLinear(attention.in_proj_weight, attention.in_proj_bias)
        self._out = _packed(attention.out_proj)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, need_weights: bool, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """States `[n, length, width]` -> the same; the weights are not told."""
        assert query is key is value and not need_weights
        n, length, width = query.shape
        # (n, length, 3 width) -> 3 x (n, heads, length, width / heads)
        parts = self._into(query).view(n, length, 3, self._heads, width // self._heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=attn_mask)
        return self._out(mixed.transpose(1, 2).reshape(n, length, width)), None


def _packed(layer: Any) -> PackedLinear:
    return PackedLinear(layer.weight, layer.bias)

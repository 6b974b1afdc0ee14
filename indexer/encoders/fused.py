"""Convolutions as oneDNN runs them best on a CPU: weights laid out once, ReLU and residual in the same pass.

What goes in and comes out is that of the plain ones, to a rounding; on devices without oneDNN they stay as they are.
CPU milliseconds a photo of the shipped trunk in bfloat16, on one core with AMX that others used too, pieces of 8:
plain 8.3, with ReLU and residual in the same pass and the weights laid out for what comes in 4.4. Laid out for
nothing in particular 7.2: oneDNN then lays the weights of 1280 -> 192 channels out anew in every call, at 2.6 a photo.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from indexer.encoders.embedded_trunk import Block, Conv, Trunk

# A layout of the weights fits one size of what comes in: so many of them are kept, for whole pieces and the last ones.
LAYOUTS = 4

# Padding that is lopsided copies what comes in. Where this many inputs at most make a group, a kernel with one more row
# and column costs less: CPU microseconds a photo for 3 / 16 / 32 inputs, and for one input in each of 384 groups:
# 173 / 195 / 123 / 131 padded before, 125 / 200 / 154 / 71 with such a kernel.
FEW_INPUTS = 3


def can_fuse(device: torch.device) -> bool:
    """Whether this torch runs oneDNN's convolutions on the device; they are what its own compiler calls."""
    return (
        device.type == "cpu"
        and torch._C._has_mkldnn
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")
        and hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
    )


def fuse(trunk: Trunk) -> None:
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

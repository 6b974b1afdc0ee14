"""Convolutions as oneDNN runs them best on a CPU: the weights laid out once, the ReLU in the same pass.

What goes in and comes out is that of the plain ones, to the bit; on devices without oneDNN they stay as they are.
CPU milliseconds a photo of the shipped trunk in bfloat16, on one core with AMX that others used too, pieces of 8:
plain 8.8, with the ReLU in the same pass 5.6, with the weights laid out as well 5.1; 12.0 plain in pieces of 32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from indexer.encoders.embedded_image import Block, Conv, Trunk


def can_fuse(device: torch.device) -> bool:
    """Whether this torch runs oneDNN's convolutions on the device; they are what its own compiler calls."""
    return (
        device.type == "cpu"
        and torch._C._has_mkldnn
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
    )


def fuse(trunk: Trunk) -> None:
    """Makes a trunk that stays as it is run faster on the CPU that it is on; it cannot be trained any more."""
    trunk.blocks = nn.Sequential(*(FusedBlock(block) for block in trunk.blocks))  # type: ignore[arg-type]


class FusedConv(nn.Module):
    """A `Conv`, its ReLU included."""

    def __init__(self, conv: Conv) -> None:
        super().__init__()
        self._shape, self._bias = conv.shape, conv.bias
        self._where = (list(conv.padding), list(conv.stride), [1, 1], conv.groups)
        self._weight = torch._C._nn.mkldnn_reorder_conv2d_weight(conv.weight.detach().to_mkldnn(), *self._where)
        self._then = "relu" if conv.relu else "none"

    def forward(self, x: Tensor) -> Tensor:
        """`[n, inputs, h, w]` -> `[n, outputs, ceil(h / stride), ceil(w / stride)]`."""
        if self._shape.stride > 1:
            x = functional.pad(x, self._shape.padding(x.shape[-1]) + self._shape.padding(x.shape[-2]))
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self._weight, self._bias, *self._where, self._then, [], ""
        )
        return y


class FusedBlock(nn.Module):
    """A `Block` of fused convolutions."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self._convs = nn.Sequential(*(FusedConv(conv) for conv in block.convs))  # type: ignore[arg-type]
        self._residual = block.residual

    def forward(self, x: Tensor) -> Tensor:
        """`[n, c, h, w]` -> `[n, c', h', w']`."""
        y: Tensor = self._convs(x)
        return y.add_(x) if self._residual else y

"""Depthwise convolution as a batched matrix product, for training on a CPU.

torch's backward pass of a strided or 5x5 depthwise convolution on a CPU is a slow reference loop: it took 48 % of
a whole training step (160 px, batch 128, two cores with AMX: 1380 of 2860 ms). The same arithmetic as one small dense
matrix a channel runs on the matrix units: the step takes 2100 ms.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from indexer.encoders.embedded_trunk import Conv


class MatrixDepthwise(nn.Module):
    """A depthwise `Conv` that shares its parameters and computes the same by matrix products."""

    def __init__(self, conv: Conv) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.kernel, self.stride, self.relu = conv.kernel_size[0], conv.stride[0], conv.relu

    def forward(self, x: Tensor) -> Tensor:
        """`[n, c, h, w]` -> `[n, c, h', w']`, as `Conv.forward`."""
        n, c, height, width = x.shape
        spread = _spread(height, width, self.kernel, self.stride).to(self.weight.dtype)
        matrices = (self.weight.flatten(1) @ spread).view(c, height * width, -1)  # [c, h w, h' w']
        columns = x.permute(1, 0, 2, 3).reshape(c, n, height * width)
        y = torch.bmm(columns, matrices)  # [c, n, h' w']
        y = y.view(c, n, -(-height // self.stride), -(-width // self.stride)).permute(1, 0, 2, 3)
        y = y + self.bias[:, None, None].to(y.dtype)  # type: ignore[index]
        y = y.contiguous(memory_format=torch.channels_last)
        return functional.relu(y, inplace=True) if self.relu else y


@lru_cache(maxsize=32)
def _spread(height: int, width: int, kernel: int, stride: int) -> Tensor:
    """Where each kernel value stands in the matrix of a convolution: `[kernel * kernel, h w * h' w']` of 0 and 1."""
    rows = _spread_line(height, kernel, stride)
    columns = _spread_line(width, kernel, stride)
    both = torch.einsum("aio,bjp->abijop", rows, columns)  # (ky, kx, y, x, y', x')
    return both.reshape(kernel * kernel, -1).contiguous()


def _spread_line(size: int, kernel: int, stride: int) -> Tensor:
    """The same along one axis: `[kernel, size, ceil(size / stride)]`, with SAME padding."""
    outputs = -(-size // stride)
    before = max((outputs - 1) * stride + kernel - size, 0) // 2
    line = torch.zeros(kernel, size, outputs)
    for k in range(kernel):
        for output in range(outputs):
            source = output * stride + k - before
            if 0 <= source < size:
                line[k, source, output] = 1.0
    return line


def use_matrix_depthwise(trunk: nn.Module) -> None:
    """Replaces, in place, the depthwise convolutions of a trunk that torch is slow at; parameters stay the same."""
    for module in trunk.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for position, conv in enumerate(module):
            if isinstance(conv, Conv) and conv.groups > 1 and (conv.stride[0] > 1 or conv.kernel_size[0] > 3):
                module[position] = MatrixDepthwise(conv)

"""The convolutional trunk of the shipped encoder, as it is trained; `onednn` runs it on a CPU as it is served."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from indexer.encoders.embedded_shape import MIDDLE, SCALE, BlockShape, ConvShape


class Conv(nn.Conv2d):
    """A convolution with SAME padding, which is lopsided when the stride is 2, and an optional ReLU."""

    def __init__(self, shape: ConvShape) -> None:
        symmetric = shape.kernel // 2 if shape.stride == 1 else 0
        super().__init__(
            shape.inputs, shape.outputs, shape.kernel, shape.stride, padding=symmetric, groups=shape.groups
        )
        self.shape, self.relu = shape, shape.relu

    def forward(self, x: Tensor) -> Tensor:
        """`[n, inputs, h, w]` -> `[n, outputs, ceil(h / stride), ceil(w / stride)]`."""
        if self.stride[0] > 1:
            x = functional.pad(x, self.shape.padding(x.shape[-1]) + self.shape.padding(x.shape[-2]))
        x = super().forward(x)
        return functional.relu(x, inplace=True) if self.relu else x


class Block(nn.Module):
    """Convolutions in a row, perhaps around a residual connection."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(Conv(conv) for conv in shape.convs))
        self.residual = shape.residual

    def forward(self, x: Tensor) -> Tensor:
        """`[n, c, h, w]` -> `[n, c', h', w']`."""
        y: Tensor = self.convs(x)
        return y + x if self.residual else y


class Trunk(nn.Module):
    """The convolutional feature extractor."""

    def __init__(self, shape: Sequence[BlockShape]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(block) for block in shape))
        self.width = shape[-1].convs[-1].outputs

    def forward(self, photos: Tensor) -> Tensor:
        """Photos `[n, 3, s, s]` uint8 -> pooled features `[n, width]` in the trunk's own number format."""
        return self.cells(photos).mean(dim=(2, 3))

    def cells(self, photos: Tensor) -> Tensor:
        """Photos `[n, 3, s, s]` uint8 -> features of places `[n, width, s / 32, s / 32]`."""
        x = (photos.to(next(self.parameters()).dtype) - MIDDLE) * SCALE
        features: Tensor = self.blocks(x.contiguous(memory_format=torch.channels_last))
        return features

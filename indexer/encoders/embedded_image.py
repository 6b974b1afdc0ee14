"""The image side of the shipped encoder in torch: the modules that are trained, and the tower that runs them.

What is learned and what is served cannot drift apart. Only this module of the family imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from indexer.encoders.base import PictureTower, Regions, unit_rows
from indexer.encoders.devices import TorchTower, pick_dtype, runner
from indexer.encoders.layers import MIDDLE, SCALE, BlockShape, ConvShape
from indexer.encoders.onednn import fuse_convolutions, runs_convolutions
from indexer.encoders.resizing import TorchPreprocessing, channels_last
from indexer.photos.pixels import upright_size
from indexer.photos.preprocessing import Preprocessing

# How a photo's parts are looked at: so many times larger than when it is embedded whole, and each cell as the mean of
# so many across. How often the warmest part lies on the caption's photo, of two and of four of Flickr8k's side by side:
# 92.5 and 85.5 % (`python -m evaluation pointing`); other ways in docs/performance.md.
CLOSER = 2
NEIGHBOURS = 3

# Photos that go through the trunk together on one core: more do not fit into its cache. CPU milliseconds a photo in
# pieces of 4 / 8 / 16: bfloat16 with AMX 6.9 / 5.1 / 7.7, float32 on AVX2 24.5 / 23.8 / 23.7.
PIECE = 8


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


class Head(nn.Module):
    """From pooled features to the shared space: a linear map plus a hidden layer's correction to it."""

    def __init__(self, width: int, hidden: int, dimension: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.direct = nn.Linear(width, dimension)
        self.into = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, dimension, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features `[n, width]` -> `[n, dimension]`, not yet of unit length."""
        x = self.norm(features)
        y: Tensor = self.direct(x) + self.out(functional.gelu(self.into(x)))
        return y


class ImageModel(nn.Module):
    """Trunk and head."""

    def __init__(self, shape: Sequence[BlockShape], *, hidden: int, dimension: int) -> None:
        super().__init__()
        self.trunk = Trunk(shape)
        self.head = Head(self.trunk.width, hidden, dimension)

    def forward(self, photos: Tensor) -> Tensor:
        """Photos `[n, 3, s, s]` uint8 -> unit rows `[n, dimension]` float32."""
        features = self.trunk(photos)
        vectors = self.head(features.to(self.head.norm.weight.dtype))
        return functional.normalize(vectors.float(), dim=-1)

    def regions(self, photos: Tensor) -> Tensor:
        """Photos `[n, 3, s, s]` uint8 -> what is in their parts, unit rows `[n, h, w, dimension]` float32.

        The head learned from means of cells, so it is shown means: of each cell and its neighbours.
        """
        cells = self.trunk.cells(photos).to(self.head.norm.weight.dtype)
        around = functional.avg_pool2d(cells, NEIGHBOURS, 1, NEIGHBOURS // 2, count_include_pad=False)
        vectors = self.head(around.permute(0, 2, 3, 1))  # (n, width, h, w) -> (n, h, w, dimension)
        return functional.normalize(vectors.float(), dim=-1)


class ImageTower(PictureTower, TorchTower):
    """Embeds pictures with the shipped weights: the recipe's squares on loader threads, the model on the device."""

    def __init__(self, recipe: Preprocessing, model: ImageModel, device: torch.device) -> None:
        self.recipe = TorchPreprocessing.of(recipe)
        self.device, self.dimension = device, model.head.direct.out_features
        model.eval().requires_grad_(False)
        # The trunk in the device's fast format, the head in float32: it costs nothing and is where vectors are made.
        # Vectors of a bfloat16 trunk stay within cosine 0.9998 of float32 on 256 Flickr8k photos, 0.9992 on the demo's.
        dtype = pick_dtype(device)
        model.trunk.to(dtype)
        self._model = model.to(device).to(memory_format=torch.channels_last)
        self._run = runner(self._model, device, piece=PIECE)
        if runs_convolutions(Trunk, device, dtype):
            fuse_convolutions(model.trunk)

    def regions(self, value: Image.Image) -> Regions:
        """What is in the parts of a picture, seen `CLOSER` times as large as when it is embedded whole."""
        recipe = replace(self.recipe, size=CLOSER * self.recipe.size)
        box = recipe.box(upright_size(value))
        with torch.inference_mode():
            photos = channels_last([recipe.prepare(value)]).to(self.device)
            rows = self._model.regions(photos)[0]
        return Regions(unit_rows(rows.cpu().numpy()), box)

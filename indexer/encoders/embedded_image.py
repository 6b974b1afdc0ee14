"""The image side of the shipped encoder: a small convolutional trunk and a head, and the tower that runs them.

The same modules are trained in `training`, so that what is learned and what is served cannot drift apart.
Only this module of the family imports torch: indexing uses it, a query does not (see `embedded_image_numpy`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from indexer.encoders.base import Regions, unit_rows
from indexer.encoders.devices import pick_dtype
from indexer.encoders.embedded_shape import BlockShape
from indexer.encoders.embedded_trunk import Trunk
from indexer.encoders.execution import runner
from indexer.encoders.onednn import fuse_convolutions, runs_convolutions
from indexer.encoders.resizing import TorchRecipe, channels_last
from indexer.items import Float32Array
from indexer.photos.pixels import upright_size
from indexer.photos.recipe import ImageRecipe

# How a photo's parts are looked at: so many times larger than when it is embedded whole, and each cell as the mean of
# so many across. How often the warmest part lies on the caption's photo, of two Flickr8k val photos side by side
# (800 captions, chance 50 %) and of four (1,600, chance 25 %), in percent, all from one trial; of what was chosen
# `python -m evaluation pointing` says 92.5 and 85.5:
#   at the plain size: a cell alone 86 and 78, 3 across 87 and 80; the score's gradient times the cell (HiResCAM) 85
#   and 72, the loss when 3 x 3 cells are left out 88 and 74
#   at twice the size: a cell alone 91 and 80, 3 across 93 and 86, 5 across 92 and 85
CLOSER = 2
NEIGHBOURS = 3

# Photos that go through the trunk together on one core: CPU milliseconds a photo in pieces of 1 / 2 / 4 / 8 / 16 / 32,
# bfloat16 with AMX: 11.8 / 7.1 / 6.9 / 5.1 / 7.7 / 7.1. More do not fit into the core's cache.
# In float32 on AVX2 in pieces of 2 / 4 / 8 / 16 / 32: 26.9 / 24.5 / 23.8 / 23.7 / 26.2.
PIECE = 8


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


class ImageTower:
    """Embeds pictures with the shipped weights: the recipe's squares on loader threads, the model on the device."""

    def __init__(self, recipe: ImageRecipe, model: ImageModel, device: torch.device) -> None:
        self.recipe = TorchRecipe.of(recipe)
        self.device = device
        model.eval().requires_grad_(False)
        # The trunk in the device's fast format, the head in float32: it costs nothing and is where vectors are made.
        # Vectors of a bfloat16 trunk stay within cosine 0.9998 of float32 on 256 Flickr8k photos, 0.9992 on the demo's.
        dtype = pick_dtype(device)
        model.trunk.to(dtype)
        self._model = model.to(device).to(memory_format=torch.channels_last)
        self._run = runner(self._model, device, piece=PIECE)
        if runs_convolutions(device, dtype):
            fuse_convolutions(model.trunk)

    def fits(self, value: Image.Image) -> bool:  # noqa: ARG002  (a picture always fits)
        """True: the recipe squashes every picture to what the tower sees."""
        return True

    def prepare(self, value: Image.Image) -> npt.NDArray[np.uint8]:
        """A picture as `[3, size, size]` uint8."""
        return self.recipe.prepare(value)

    def regions(self, value: Image.Image) -> Regions:
        """What is in the parts of a picture, seen `CLOSER` times as large as when it is embedded whole."""
        recipe = replace(self.recipe, size=CLOSER * self.recipe.size)
        box = recipe.box(upright_size(value))
        with torch.inference_mode():
            photos = channels_last([recipe.prepare(value)]).to(self.device)
            rows = self._model.regions(photos)[0]
        return Regions(unit_rows(rows.cpu().numpy()), box)

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """Prepared pictures as unit rows `[n, dim]`."""
        with torch.inference_mode():
            return unit_rows(self._run(prepared).cpu().numpy())

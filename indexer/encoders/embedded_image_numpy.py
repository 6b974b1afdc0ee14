"""The image side of the shipped encoder in numpy: a query by photo is answered without importing torch.

The same arithmetic as `embedded_image.ImageModel`, one photo at a time; a test holds the two together. A map of
features is `[h, w, channels]`, so that a convolution is one product of two matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from indexer.encoders.base import Regions, unit_rows
from indexer.encoders.embedded_head import Head
from indexer.encoders.embedded_shape import MIDDLE, SCALE, BlockShape, ConvShape
from indexer.items import Float32Array
from indexer.photos.recipe import ImageRecipe

if TYPE_CHECKING:
    from indexer.encoders.embedded_image import ImageTower

# From so many photos at once on they go to torch: a full batch of `--queries-from`, which more may follow. Of one
# core's time (with AMX) importing torch and loading the model take 2.2 s more than this, then a photo 15 ms instead
# of 40: torch pays from 90 photos on.
MANY = 64


@dataclass(frozen=True)
class Convolution:
    """One convolution; `weight` is `[outputs, k * k * inputs]`, or `[k, k, channels]` where each channel is alone."""

    shape: ConvShape
    weight: Float32Array
    bias: Float32Array

    @classmethod
    def of(cls, shape: ConvShape, weight: npt.NDArray[Any], bias: npt.NDArray[Any]) -> Convolution:
        """From torch's `weight` `[outputs, inputs / groups, k, k]`, of any float type. Raises `ValueError`."""
        if weight.shape != (shape.outputs, shape.inputs // shape.groups, shape.kernel, shape.kernel):
            raise ValueError(f"weights {weight.shape} for {shape}")
        if shape.groups not in (1, shape.inputs) or (shape.groups > 1 and shape.outputs != shape.inputs):
            raise ValueError(f"groups of channels in {shape}")
        if shape.groups > 1:
            alone = np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0), np.float32)
            return cls(shape, alone, bias.astype(np.float32))
        rows = np.ascontiguousarray(weight.transpose(0, 2, 3, 1), np.float32).reshape(shape.outputs, -1)
        return cls(shape, rows, bias.astype(np.float32))

    def __call__(self, x: Float32Array) -> Float32Array:
        """`[h, w, inputs]` -> `[ceil(h / stride), ceil(w / stride), outputs]`."""
        y = self._alone(x) if self.shape.groups > 1 else self._together(x)
        y += self.bias
        return np.maximum(y, 0, out=y) if self.shape.relu else y

    def _together(self, x: Float32Array) -> Float32Array:
        """Every channel from all: the pixels under each place of the kernel side by side, times the weights."""
        kernel, stride = self.shape.kernel, self.shape.stride
        if kernel > 1 or stride > 1:
            windows = sliding_window_view(self._padded(x), (kernel, kernel), axis=(0, 1))[::stride, ::stride]
            x = windows.transpose(0, 1, 3, 4, 2)  # (h, w, inputs, k, k) -> (h, w, k, k, inputs)
        y: Float32Array = x.reshape(-1, self.weight.shape[1]) @ self.weight.T
        return y.reshape(*x.shape[:2], -1)

    def _alone(self, x: Float32Array) -> Float32Array:
        """Every channel from itself: the map shifted to each place of the kernel, weighed and summed."""
        kernel, stride = self.shape.kernel, self.shape.stride
        height, width = (-(-size // stride) for size in x.shape[:2])
        padded = self._padded(x)
        y = np.zeros((height, width, self.shape.outputs), np.float32)
        weighed = np.empty_like(y)
        for down, across in np.ndindex(kernel, kernel):
            shifted = padded[down : down + stride * height : stride, across : across + stride * width : stride]
            y += np.multiply(shifted[:height, :width], self.weight[down, across], out=weighed)
        return y

    def _padded(self, x: Float32Array) -> Float32Array:
        height, width = x.shape[:2]
        (top, bottom), (left, right) = self.shape.padding(height), self.shape.padding(width)
        padded = np.zeros((top + height + bottom, left + width + right, x.shape[2]), np.float32)
        padded[top : top + height, left : left + width] = x
        return padded


@dataclass(frozen=True)
class Block:
    """Convolutions in a row, perhaps around a residual connection."""

    residual: bool
    convs: tuple[Convolution, ...]

    def __call__(self, x: Float32Array) -> Float32Array:
        """`[h, w, c]` -> `[h', w', c']`."""
        y = x
        for conv in self.convs:
            y = conv(y)
        return y + x if self.residual else y


class ImageModel:
    """Trunk and head."""

    def __init__(self, shape: Sequence[BlockShape], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """`arrays` by their names in `model.safetensors` (without the prefix `image.`).

        Raises `KeyError` or `ValueError` if they do not fit the shape.
        """
        self._blocks = [
            Block(
                block.residual,
                tuple(
                    _convolution(conv, arrays, f"trunk.blocks.{row}.convs.{column}")
                    for column, conv in enumerate(block.convs)
                ),
            )
            for row, block in enumerate(shape)
        ]
        head = {name.removeprefix("head."): array for name, array in arrays.items() if name.startswith("head.")}
        self._head = Head(head)

    def __call__(self, photo: npt.NDArray[np.uint8]) -> Float32Array:
        """A photo `[3, s, s]` -> its vector `[dimension]`, not yet of unit length."""
        x = (photo.transpose(1, 2, 0).astype(np.float32) - np.float32(MIDDLE)) * np.float32(SCALE)
        for block in self._blocks:
            x = block(x)
        vector: Float32Array = self._head(x.mean(axis=(0, 1))[np.newaxis])[0]
        return vector


def _convolution(shape: ConvShape, arrays: Mapping[str, npt.NDArray[Any]], name: str) -> Convolution:
    return Convolution.of(shape, arrays[f"{name}.weight"], arrays[f"{name}.bias"])


class LightImageTower:
    """Embeds a photo or a few in numpy, and many, or parts of a photo, with the tower that `heavy` makes on torch."""

    def __init__(self, recipe: ImageRecipe, model: ImageModel, heavy: Callable[[], ImageTower]) -> None:
        self.recipe = recipe
        self._model = model
        self._heavy = cache(heavy)

    def fits(self, value: Image.Image) -> bool:  # noqa: ARG002  (a picture always fits)
        """True: the recipe squashes every picture to what the tower sees."""
        return True

    def prepare(self, value: Image.Image) -> npt.NDArray[np.uint8]:
        """A picture as `[3, size, size]` uint8."""
        return self.recipe.prepare(value)

    def regions(self, value: Image.Image) -> Regions:
        """What is in the parts of a picture; this needs torch."""
        return self._heavy().regions(value)

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """Prepared pictures as unit rows `[n, dim]`."""
        if len(prepared) >= MANY:
            return self._heavy().embed(prepared)
        return unit_rows(np.stack([self._model(photo) for photo in prepared]))

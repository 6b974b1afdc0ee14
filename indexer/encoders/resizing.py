"""A model's recipe for photos with torch's resize, where torch is there anyway: two to three times Pillow's rate.

Both are antialiased, of 8-bit numbers and within one step of each other (a test says so).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from indexer.photos.colours import srgb_pixels
from indexer.photos.memory import memory_for
from indexer.photos.opening import source_errors
from indexer.photos.pixels import (
    SIDEWAYS,
    decoding_scale,
    jpeg_pixels,
    orientation,
    true_size,
    upright,
    upright_rgb,
    upright_size,
)
from indexer.photos.preprocessing import Preprocessing

# The methods that torch has for 8-bit photos; Pillow keeps the others.
METHODS = ("bilinear", "bicubic")

# Torch resizes the whole image and then cuts out the middle. Of one that is so many times as long as wide (or as
# wide as long), Pillow resizes only the middle.
LONGEST = 2.5

# torch rounds a side down, after multiplying: this much more, relatively, keeps it from losing a pixel to that.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class TorchPreprocessing(Preprocessing):
    """The recipe, resized by torch."""

    @classmethod
    def of(cls, recipe: Preprocessing) -> TorchPreprocessing:
        """The same recipe."""
        return cls(**{field.name: getattr(recipe, field.name) for field in fields(recipe)})

    def prepare(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """The image as `[3, size, size]` uint8, RGB; the tower scales and normalises on its device."""
        whole = upright_size(image)
        scaled = self._scaled(whole)
        if self.interpolation not in METHODS or max(scaled) > LONGEST * self.size:
            # called by its name: slots make dataclasses anew, and `super()` looks for the old one
            return Preprocessing.prepare(self, image)
        with source_errors(), memory_for(image, decoding_scale(image, self.size)):
            square = self._middle(self._upright(image, whole, scaled), scaled)
            return srgb_pixels(square, image).transpose(2, 0, 1)

    def _upright(self, image: Image.Image, whole: tuple[int, int], scaled: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """The image of size `whole`, scaled: `[h, w, 3]`; a JPEG is turned afterwards, when it is small."""
        pixels = jpeg_pixels(image, side=self.size)
        if pixels is None:
            pixels = np.array(upright_rgb(image, side=self.size, convert=False))
            return _resized(pixels, true_size(_size(pixels), whole), scaled, self.interpolation)
        turn = orientation(image)
        if turn in SIDEWAYS:
            whole, scaled = whole[::-1], scaled[::-1]
        return upright(_resized(pixels, true_size(_size(pixels), whole), scaled, self.interpolation), turn)

    def _middle(self, resized: npt.NDArray[np.uint8], scaled: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """The middle, `[size, size, 3]`, of an image that is scaled; `fill` beyond its edges."""
        across, down = scaled
        left, top = (round((side - self.size) / 2) for side in scaled)
        if min(scaled) >= self.size:
            return resized[top : top + self.size, left : left + self.size]
        square = np.full((self.size, self.size, 3), self.fill, dtype=np.uint8)
        square[-top : down - top, -left : across - left] = resized
        return square


def _size(pixels: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Width and height of pixels `[h, w, 3]`."""
    return pixels.shape[1], pixels.shape[0]


def _resized(
    pixels: npt.NDArray[np.uint8], true_size: tuple[float, float], size: tuple[int, int], method: str
) -> npt.NDArray[np.uint8]:
    """Pixels `[h, w, 3]`, of which width and height `true_size` are photo, as `[height, width, 3]` of `size`."""
    across, down = (new / side * (1 + ROUNDING) for new, side in zip(size, true_size, strict=True))
    photo: Tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w), channels last
    resized = functional.interpolate(photo, scale_factor=(down, across), mode=method, antialias=True)
    array: npt.NDArray[np.uint8] = resized[0].permute(1, 2, 0).numpy()
    return array


def channels_last(prepared: Sequence[npt.NDArray[Any]]) -> Tensor:
    """Prepared photos `[3, size, size]` as a batch `[n, 3, size, size]`, in memory `[n, size, size, 3]` as convolutions
    want them and `prepare` leaves them: they are only put end to end.
    """
    return torch.from_numpy(np.stack([image.transpose(1, 2, 0) for image in prepared])).permute(0, 3, 1, 2)

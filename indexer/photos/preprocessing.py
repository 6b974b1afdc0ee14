"""How a model wants its photos: resized, then cut or padded to a square."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from indexer.photos.colours import srgb_pixels
from indexer.photos.memory import memory_for
from indexer.photos.opening import source_errors
from indexer.photos.pixels import (
    REVERSED_ACROSS,
    REVERSED_DOWN,
    decoding_scale,
    orientation,
    true_size,
    upright_rgb,
    upright_size,
)

INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How one model wants its photos: resize -> crop or pad -> `[3, size, size]`, later scaled by mean and std.

    `mode` is open_clip's: "shortest" scales the short side to `size` and crops the middle, "longest" scales the
    long side and pads with `fill`, "squash" scales both. `mean` and `std` are of values in 0..1, one a channel.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    mode: str = "shortest"
    fill: int = 0

    def prepare(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """The image as `[3, size, size]` uint8, RGB; the tower scales and normalises on its device."""
        whole = upright_size(image)
        with source_errors(), memory_for(image, decoding_scale(image, self.size)):
            pixels = upright_rgb(image, side=self.size, convert=False)
            square = srgb_pixels(self._square(pixels, whole, orientation(image)), image)
        return square.transpose(2, 0, 1)  # (h, w, 3) -> (3, h, w)

    def box(self, whole: tuple[int, int]) -> tuple[float, float, float, float]:
        """What the square covers of a photo of that size: left, top, right, bottom, beyond its edges if padded."""
        scaled = self._scaled(whole)
        starts = [round((side - self.size) / 2) for side in scaled]
        ends = [start + self.size for start in starts]
        across, down = (side / new for side, new in zip(whole, scaled, strict=True))
        return starts[0] * across, starts[1] * down, ends[0] * across, ends[1] * down

    def _scaled(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size before cropping or padding, rounded as torchvision does: a pixel more shifts the crop by half."""
        if self.mode == "squash":
            return self.size, self.size
        if self.mode == "shortest":
            width, height = (int(self.size * side / min(size)) for side in size)
        else:
            width, height = (max(1, round(self.size * side / max(size))) for side in size)
        return width, height

    def _square(self, pixels: Image.Image, whole: tuple[int, int], turn: int) -> npt.NDArray[np.uint8]:
        """The middle, `[size, size, 3]`, of the photo of size `whole`; `fill` beyond its edges.

        `pixels` are upright, turned so from EXIF's orientation `turn`.
        """
        method, scaled = INTERPOLATIONS[self.interpolation], self._scaled(whole)
        left, top = (round((side - self.size) / 2) for side in scaled)
        size = true_size(pixels.size, whole)
        # what is only partly photo was stored last
        x = pixels.width - size[0] if turn in REVERSED_ACROSS else 0
        y = pixels.height - size[1] if turn in REVERSED_DOWN else 0
        if min(scaled) < self.size:
            square = Image.new("RGB", (self.size, self.size), (self.fill,) * 3)
            square.paste(pixels.resize(scaled, method, box=(x, y, x + size[0], y + size[1])), (-left, -top))
            return np.array(square)
        across, down = (side / new for side, new in zip(size, scaled, strict=True))
        right, bottom = x + (left + self.size) * across, y + (top + self.size) * down
        # only what is kept is computed: all of a strip of 1 x 60000 pixels would be gigabytes
        box = (x + left * across, y + top * down, min(right, pixels.width), min(bottom, pixels.height))
        return np.array(pixels.resize((self.size, self.size), method, box=box))  # a copy: Pillow's may not be written

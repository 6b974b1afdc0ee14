"""A real, tiny encoder for tests: images and sentences as colours, so that every answer can be checked by eye.

"red", "a dark blue one" and a photo of the sea all become points in the space of colours; the vector of
an image is its mean colour, that of a sentence the mean of the colours that it names. No weights, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from indexer.encoders.base import Encoder, Regions, unit_rows
from indexer.items import Float32Array
from indexer.photos.pixels import upright_rgb

COLORS = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "cyan": (0, 1, 1),
    "magenta": (1, 0, 1),
    "orange": (1, 0.5, 0),
    "white": (1, 1, 1),
}

# A fourth part of every vector: it keeps black, the sum of no colours, from having no direction.
CONSTANT = 0.1

# Words that a sentence may have: long ones have to be split, like those of a real encoder.
CONTEXT = 16


class PictureColors:
    """The mean colour of an image."""

    def fits(self, value: Any) -> bool:  # noqa: ARG002 - an image always fits
        """Always."""
        return True

    def prepare(self, value: Image.Image) -> npt.NDArray[Any]:
        """The mean colour, `[3]`, in 0..1."""
        pixels = np.asarray(upright_rgb(value), dtype=np.float32)
        return np.asarray(pixels.mean(axis=(0, 1)) / 255)  # (h, w, 3) -> (3,)

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """Colours as unit rows, `[n, 4]`."""
        return _unit_colors(prepared)

    def regions(self, value: Image.Image) -> Regions:
        """The colour of every pixel, `[h, w, 4]`."""
        pixels = np.asarray(upright_rgb(value), dtype=np.float32) / 255
        height, width, _ = pixels.shape
        return Regions(unit_rows(np.insert(pixels, 3, CONSTANT, axis=2)), (0, 0, width, height))


class WordColors:
    """The mean of the colours that a sentence names."""

    def fits(self, value: str) -> bool:
        """Whether the sentence has at most `CONTEXT` words."""
        return len(value.split()) <= CONTEXT

    def prepare(self, value: str) -> npt.NDArray[Any]:
        """The mean of the named colours, `[3]`, in 0..1."""
        named = [COLORS[word] for word in value.lower().split()[:CONTEXT] if word in COLORS]
        return np.asarray(np.mean(named or [(0, 0, 0)], axis=0), np.float32)

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """Colours as unit rows, `[n, 4]`."""
        return _unit_colors(prepared)


def _unit_colors(colors: Sequence[npt.NDArray[Any]]) -> Float32Array:
    return unit_rows(np.insert(np.stack(colors), 3, CONSTANT, axis=1))  # (n, 3) -> (n, 4)


def color_encoder(*, name: str = "colors", checksum: str = "0") -> Encoder:
    """The encoder of colours: 4 dimensions, a tower for images and one for sentences."""
    return Encoder(name, 4, checksum, {"image": PictureColors, "text": WordColors})

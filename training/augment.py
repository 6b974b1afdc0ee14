"""What may change in a photo without changing what it shows: crops, mirrors, light, colour, sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """How far a photo may be changed.

    `smallest` is the least part of the area that a crop keeps: captions speak of the whole photo, so crops stay
    large. `stretch` bounds the change of aspect ratio: photos of every shape are squashed to a square when served.
    `grey`, `blur` are probabilities, `light` the largest relative change of brightness and contrast.
    """

    smallest: float = 0.5
    stretch: float = 1.35
    light: float = 0.25
    grey: float = 0.1
    blur: float = 0.1


def crop(photo: npt.NDArray[np.uint8], size: int, how: Augmentation, draw: np.random.Generator) -> Tensor:
    """A random crop of a photo `[3, side, side]`, perhaps mirrored, as `[3, size, size]` uint8."""
    side = photo.shape[1]
    area = draw.uniform(how.smallest, 1.0)
    ratio = np.exp(draw.uniform(-np.log(how.stretch), np.log(how.stretch)))
    height = min(side, max(8, round(side * np.sqrt(area / ratio))))
    width = min(side, max(8, round(side * np.sqrt(area * ratio))))
    top, left = draw.integers(side - height + 1), draw.integers(side - width + 1)
    pixels = torch.from_numpy(photo[:, top : top + height, left : left + width])[None]
    if draw.random() < how.blur:  # small photos and thumbnails are part of every library
        small = int(size * draw.uniform(0.3, 0.7))
        pixels = functional.interpolate(pixels, (small, small), mode="bilinear", antialias=True)
    square = functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)[0]
    return square.flip(2) if draw.random() < 0.5 else square


def relight(photos: Tensor, how: Augmentation, draw: np.random.Generator) -> Tensor:
    """Photos `[n, 3, s, s]` uint8 with changed brightness and contrast, a few of them grey."""
    n = len(photos)
    values = photos.float()
    weights = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    grey = torch.from_numpy(draw.random(n) < how.grey)
    values[grey] = (values[grey] * weights).sum(dim=1, keepdim=True)
    gain = torch.from_numpy(draw.uniform(1 - how.light, 1 + how.light, (n, 3, 1, 1))).float()
    # Mostly the same gain for all channels, a little of each channel's own: another white balance.
    gain = 0.75 * gain.mean(dim=1, keepdim=True) + 0.25 * gain
    shift = torch.from_numpy(draw.uniform(-how.light, how.light, (n, 1, 1, 1))).float() * 64
    return ((values - 128) * gain + 128 + shift).clamp_(0, 255).to(torch.uint8)

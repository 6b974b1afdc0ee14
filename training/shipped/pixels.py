"""The photos of a step as pixels, each cropped and lit anew, made ready while the step before is learned from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.ahead import Ahead
from training.augment import crop, relight
from training.shipped.batches import Batch, Sampler
from training.shipped.config import Stage
from training.shipped.corpus import Part, offsets
from training.shipped.workshop import Workshop


def batches_with_photos(shop: Workshop, stage: Stage, sampler: Sampler) -> Ahead[tuple[Batch, Tensor]]:
    """What a step needs by its number: a batch and its photos, of the size that the stage has then."""

    def made(step: int) -> tuple[Batch, Tensor]:
        batch = sampler.batch(stage.plan.batch)
        size = stage.sizes[min(step, stage.plan.steps - 1) * len(stage.sizes) // stage.plan.steps]
        return batch, photos_of(shop.parts, batch.rows, size, shop, sampler.numbers)

    return Ahead(sampler, made)


def photos_of(parts: Sequence[Part], rows: Tensor, size: int, shop: Workshop, draw: np.random.Generator) -> Tensor:
    """The photos of a batch, each cropped and lit anew: `[n, 3, size, size]` uint8."""
    starts = offsets(parts)
    owners = np.searchsorted(starts, rows.numpy(), side="right") - 1
    how = shop.config.augmentation
    cropped = [
        crop(parts[owner].photos[row - starts[owner]], size, how, draw)
        for owner, row in zip(owners, rows.numpy(), strict=True)
    ]
    return relight(torch.stack(cropped), how, draw)


def augmented(shop: Workshop, photos: npt.NDArray[np.uint8], *, size: int, draw: np.random.Generator) -> Tensor:
    """Photos `[n, 3, side, side]`, each cropped and lit anew: `[n, 3, size, size]` uint8."""
    how = shop.config.augmentation
    return relight(torch.stack([crop(photo, size, how, draw) for photo in photos]), how, draw)

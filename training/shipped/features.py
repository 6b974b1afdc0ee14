"""Photos through a trunk, once: what the stages that leave the trunk alone learn from, and what the teacher says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from indexer.encoders.devices import pick_dtype
from indexer.encoders.embedded_shape import BlockShape
from indexer.encoders.embedded_trunk import Trunk
from training.loop import write_whole

if TYPE_CHECKING:
    from training.shipped.workshop import Workshop

View = Callable[[npt.NDArray[np.uint8]], Tensor]

# Photos through the trunk at once: at 224 px their largest maps take 200 MB in bfloat16.
BATCH = 64


def served(photos: npt.NDArray[np.uint8], size: int) -> Tensor:
    """Photos `[n, 3, side, side]` uint8 at the size at which they are served: `[n, 3, size, size]` uint8."""
    pixels = torch.from_numpy(photos)
    if pixels.shape[-1] == size:
        return pixels
    return functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)


def pooled(
    weights: dict[str, Tensor],
    shape: tuple[BlockShape, ...],
    photos: npt.NDArray[np.uint8],
    view: View,
) -> Tensor:
    """The trunk's features of photos: `[n, width]` float16. `view` makes a batch of them ready."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trunk = Trunk(shape)
    trunk.load_state_dict(weights)
    trunk.to(device, pick_dtype(device)).to(memory_format=torch.channels_last).requires_grad_(False)
    with torch.inference_mode():
        rows = [trunk(view(batch).to(device)).half().cpu() for batch in _batches(photos)]
    return torch.cat(rows).clone()


def write_features(shop: Workshop, weights: dict[str, Tensor], path: Path, views: Sequence[View]) -> None:
    """Writes features `[views * photos, width]`, all photos in the first view, then all in the second ...

    Photos without captions look the same in every view: they are many, and what they teach are single words.
    A file that is there is left as it is: a run that was cut off goes on.
    """
    if path.is_file():
        return
    first = [pooled(weights, shop.start.shape, part.photos, views[0]) for part in shop.parts]
    rows = list(first)
    for view in views[1:]:
        for part, unchanged in zip(shop.parts, first, strict=True):
            captioned = all(example.captions for example in part.examples)
            rows.append(pooled(weights, shop.start.shape, part.photos, view) if captioned else unchanged)
    plain = partial(served, size=shop.config.size)
    validation = pooled(weights, shop.start.shape, shop.validation.photos, plain)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole({"features": torch.cat(rows), "validation": validation}, path)


def _batches(photos: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    for start in range(0, len(photos), BATCH):
        yield photos[start : start + BATCH]

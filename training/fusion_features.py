"""Composed queries made from captioned photos: a detail of a photo and one of its captions ask for the whole photo.

Nobody has judged composed queries for these photos, but this task needs no judgement: there is one right answer, and
neither the detail nor the sentence alone finds it often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from evaluation.datasets import Example
from indexer.atomic import atomic_write
from indexer.encoders import Encoder
from indexer.encoders.base import SeeingTower
from indexer.errors import EncoderUnavailable
from indexer.items import Float32Array
from training.fusion_block import Asked

# Photos in memory at once.
BATCH = 64


@dataclass(frozen=True)
class Questions:
    """All that can be asked of a set of photos, as unit rows of one encoder.

    `photos` `[n, dim]`, their `details` `[n, dim]` and the details' `regions` `[n, cells, dim]`; `sentences` `[m, dim]`
    and the photo of each, `owners` `[m]`.
    """

    photos: Tensor
    details: Tensor
    regions: Tensor
    sentences: Tensor
    owners: Tensor

    def asked(self, sentences: Tensor) -> Asked:
        """The composed queries of these sentences, given by number `[n]`."""
        of = self.owners[sentences]
        return Asked(self.sentences[sentences], self.details[of], self.regions[of], self.photos[of])

    def all_asked(self) -> Asked:
        """The composed queries of all sentences."""
        return self.asked(torch.arange(len(self.sentences)))


def questions(encoder: Encoder, examples: Sequence[Example], *, part: float, cells: int) -> Questions:
    """What can be asked of captioned photos. Details are windows with `part` of the photo's sides, at fixed places.

    Raises `EncoderUnavailable` for an encoder that cannot say what is where.
    """
    tower = encoder.tower("image")
    if not isinstance(tower, SeeingTower):
        raise EncoderUnavailable(f"{encoder.name} cannot say what is where in a photo; the shipped encoder can.")
    rows: list[tuple[Float32Array, Float32Array, Float32Array]] = []
    for begin in range(0, len(examples), BATCH):
        pictures = [example.picture().convert("RGB") for example in examples[begin : begin + BATCH]]
        details = [detail(picture, begin + number, part) for number, picture in enumerate(pictures)]
        regions = np.stack([pooled_regions(tower.regions(picture).rows, cells) for picture in details])
        rows.append((encoder.embed("image", pictures), encoder.embed("image", details), regions))
    photos, details_rows, regions_rows = (
        torch.from_numpy(np.concatenate(column)) for column in zip(*rows, strict=True)
    )
    sentences = encoder.embed("text", [caption for example in examples for caption in example.captions])
    counts = torch.tensor([len(example.captions) for example in examples])
    owners = torch.repeat_interleave(torch.arange(len(examples)), counts)
    return Questions(photos, details_rows, regions_rows, torch.from_numpy(sentences), owners)


def detail(picture: Image.Image, number: int, part: float) -> Image.Image:
    """A window with `part` of the picture's width and height; its place is drawn from the photo's number."""
    width, height = (max(1, round(part * side)) for side in picture.size)
    draw = np.random.default_rng(number)
    left, top = (int(draw.integers(0, room + 1)) for room in (picture.width - width, picture.height - height))
    return picture.crop((left, top, left + width, top + height))


def pooled_regions(rows: Float32Array, cells: int) -> Float32Array:
    """Rows of a grid `[h, w, dim]` as unit rows of a coarser one, `[cells * cells, dim]`."""
    grid = torch.from_numpy(rows).permute(2, 0, 1)  # (h, w, dim) -> (dim, h, w)
    coarse = functional.adaptive_avg_pool2d(grid, cells).flatten(1).T
    return np.asarray(functional.normalize(coarse, dim=-1).numpy())


def keep(made: Questions, path: Path, key: str) -> None:
    """Writes questions down, with a key that says what they were made from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as new:
        torch.save({"key": key, **vars(made)}, new)


def kept(path: Path, key: str) -> Questions | None:
    """The questions that were written down with this key; None if there are none."""
    saved = torch.load(path, weights_only=True) if path.is_file() else {"key": None}
    return Questions(**saved) if saved.pop("key") == key else None

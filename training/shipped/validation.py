"""How good the towers are on photos that are not learned from: what the learning curve shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from evaluation.datasets import READERS, DataError, Example
from evaluation.retrieval import retrieval
from training.shipped.corpus import Source, squares
from training.shipped.objective import Embed


@dataclass(frozen=True)
class Validation:
    """Photos `[n, 3, side, side]` with their captions."""

    examples: tuple[Example, ...]
    photos: npt.NDArray[np.uint8]

    @classmethod
    def read(cls, source: Source, data: Path, size: int) -> Validation:
        """The examples of a captioned source that are marked "val", at the size at which photos are served."""
        examples = [example for example in READERS[source.reader](data / source.path) if example.split == "val"]
        if not examples:
            raise DataError(f'{data / source.path}: no photo is marked as validation ("split": "val").')
        return cls(tuple(examples), squares(examples, size))

    @property
    def captions(self) -> list[str]:
        """The captions of all photos, one photo's after another's."""
        return [caption for example in self.examples for caption in example.captions]

    def measure(self, photos: Tensor, embed: Embed) -> dict[str, float]:
        """Recall both ways, in percent, of unit rows `[n, dim]` of the photos."""
        owners = np.repeat(np.arange(len(self.examples)), [len(example.captions) for example in self.examples])
        table = retrieval(photos.float().numpy(), embed(self.captions).float().numpy(), owners)
        return {
            f"{way}_r{k}": 100 * table[way][f"R@{k}"] for way in ("text_to_image", "image_to_text") for k in (1, 5, 10)
        }

"""Photos and captions of the last steps, remembered as further wrong answers: a small batch is judged like a large one.

Wang et al., 2020, "Cross-Batch Memory for Embedding Learning": while the towers drift slowly, vectors of a few steps
ago stand for what they would be now.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.shipped.batches import Batch


@dataclass(frozen=True)
class Remembered:
    """Unit rows `[q, dim]` and the numbers `[q]` of the photos that they belong to."""

    vectors: Tensor
    rows: Tensor

    def against(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """Products `[n, q]` with what is remembered; -inf where both are of one photo, which is no wrong answer."""
        return (vectors @ self.vectors.T).masked_fill(rows[:, None] == self.rows[None, :], float("-inf"))

    def and_then(self, vectors: Tensor, rows: Tensor, length: int) -> Remembered:
        """With further rows, the last `length` of all."""
        vectors = torch.cat([self.vectors, vectors.detach().float()])
        return Remembered(vectors[-length:], torch.cat([self.rows, rows])[-length:])


def nothing(dimension: int) -> Remembered:
    """No rows."""
    return Remembered(torch.zeros(0, dimension), torch.zeros(0, dtype=torch.long))


@dataclass
class Memory:
    """The last captioned photos and captions of training, `length` of each.

    `captioned` `[photos]` is true for the photos of the corpus that have captions: those without are named by single
    words, and what is remembered may well fit those.
    """

    captioned: Tensor
    length: int
    dimension: int
    photos: Remembered = field(init=False)
    sentences: Remembered = field(init=False)

    def __post_init__(self) -> None:
        self.photos = self.sentences = nothing(self.dimension)

    def wrong(self, batch: Batch, photos: Tensor, sentences: Tensor, scale: Tensor) -> dict[str, Tensor]:
        """`scale` times the cosines of the batch's unit rows with what is remembered, which then holds the batch too.

        Named as `losses.contrastive` takes them.
        """
        of_sentences = batch.rows[batch.owners]
        described, saying = self.captioned[batch.rows], self.captioned[of_sentences]
        further = {
            "wrong_photos": self.photos.against(scale * sentences, of_sentences),
            "wrong_sentences": self.sentences.against(scale * photos, batch.rows),
        }
        further["wrong_photos"] = further["wrong_photos"].masked_fill(~saying[:, None], float("-inf"))
        further["wrong_sentences"] = further["wrong_sentences"].masked_fill(~described[:, None], float("-inf"))
        self.photos = self.photos.and_then(photos[described], batch.rows[described], self.length)
        self.sentences = self.sentences.and_then(sentences[saying], of_sentences[saying], self.length)
        return further

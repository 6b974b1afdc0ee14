"""Hubs held down: two further dimensions that lower the cosines of what is near to everything.

Some photos are near to many sentences, and some sentences to many photos; they crowd out right answers. Cross-domain
similarity local scaling (Conneau et al., "Word translation without parallel data", 2018) takes from a cosine what both
sides have with their nearest of the other kind. That amount belongs to one side alone, so a vector can carry it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from indexer.encoders.base import unit_rows
from indexer.items import Float32Array

# Rows that are compared with all of the other side at once.
PIECE = 4096


@dataclass(frozen=True)
class Holding:
    """How hubs are held down.

    A vector's level is its mean cosine with the `neighbours` nearest of the other kind. `against` of both levels, less
    what is usual, are taken from a cosine. They stand in two dimensions, each times the constant `room` on the other
    side: the smaller it is, the less it adds to cosines within a kind, and the more levels add to lengths.
    """

    neighbours: int
    against: float
    room: float


@dataclass(frozen=True)
class Hubs:
    """Training photos and sentences as unit rows `[n, dim]`, and what levels of either kind are usual."""

    DIMENSIONS: ClassVar[int] = 2

    of_photos: Float32Array
    of_sentences: Float32Array
    usual: tuple[float, float]
    how: Holding

    @classmethod
    def among(cls, photos: Float32Array, sentences: Float32Array, how: Holding) -> Hubs:
        """What unit rows `[n, dim]` and `[m, dim]` say of each other."""
        of_photos, of_sentences = (
            float(levels(rows, others, how.neighbours).mean())
            for rows, others in ((photos, sentences), (sentences, photos))
        )
        return cls(photos, sentences, (of_photos, of_sentences), how)

    def photos(self, rows: Float32Array) -> Float32Array:
        """Unit rows `[n, dim]` -> unit rows `[n, dim + 2]`."""
        return unit_rows(np.column_stack([rows, *self._carried(rows, self.of_sentences, self.usual[0])]))

    def sentences(self, rows: Float32Array) -> Float32Array:
        """Unit rows `[n, dim]` -> unit rows `[n, dim + 2]`."""
        lowered, room = self._carried(rows, self.of_photos, self.usual[1])
        return unit_rows(np.column_stack([rows, room, lowered]))

    def _carried(self, rows: Float32Array, others: Float32Array, usual: float) -> tuple[Float32Array, Float32Array]:
        """By how much rows are lowered, in parts of the room that the other side has for it; and the room `[n]`."""
        lowered = -self.how.against / self.how.room * (levels(rows, others, self.how.neighbours) - usual)
        return lowered, np.full(len(rows), self.how.room, np.float32)


def levels(rows: Float32Array, others: Float32Array, neighbours: int) -> Float32Array:
    """The mean cosine `[n]` of unit rows `[n, dim]` with their nearest among the others `[m, dim]`."""
    found = [
        np.partition(rows[at : at + PIECE] @ others.T, -neighbours, axis=1)[:, -neighbours:].mean(axis=1)
        for at in range(0, len(rows), PIECE)
    ]
    return np.concatenate(found)

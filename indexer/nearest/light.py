"""The first question to an index, answered in numpy before FAISS would be imported.

The answers are those of `VectorIndex`. Looking at 10,000 vectors of 512 dimensions takes 6 ms instead of FAISS's 0.7;
but importing FAISS takes 100 ms, and of a saved index nothing has to be read into memory before. One core, a busy one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from indexer.items import Float32Array, Int64Array, Vectors, spread
from indexer.nearest.probing import DEEPER, READ_ALL, probes_for
from indexer.nearest.ranking import best, cosines, nearest_stored
from indexer.nearest.saved import Codes, SavedExact, SavedInverted
from indexer.storage.stored_vectors import StoredVectors

if TYPE_CHECKING:
    from indexer.nearest.index import VectorIndex

# Questions at once from which FAISS is worth its import.
MANY = 16


class LightIndex:
    """Unit vectors by id, searched by cosine; see `VectorIndex`, whose questions it takes.

    `saved` is what was saved of them, None for nothing; `stored` are the vectors by id. `heavy` gives the same vectors
    in FAISS, for work that is not for numpy.
    """

    def __init__(
        self,
        saved: SavedExact | SavedInverted | None,
        dimension: int,
        *,
        stored: StoredVectors,
        heavy: Callable[[], VectorIndex],
    ) -> None:
        self.revision = saved.revision if saved else 0
        self._exact = saved if isinstance(saved, SavedExact) else nothing_saved(dimension)
        self._inverted = saved if isinstance(saved, SavedInverted) else None
        self._stored, self._heavy = stored, heavy
        self._fresh = Vectors(np.empty(0, np.int64), np.empty((0, dimension), np.float32))
        self._gone = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._there(self._exact.ids)) + len(self._there(self._fresh.ids)) + self._in_lists()

    def _in_lists(self) -> int:
        if self._inverted is None or not len(self._gone):
            return self._inverted.total if self._inverted else 0
        ids = [ids for _, _, ids in self._inverted.lists(range(self._inverted.nlist))]
        return len(self._there(np.concatenate(ids)))

    def add(self, vectors: Vectors) -> None:
        """Adds vectors under ids that the index does not hold yet."""
        ids, rows = (self._fresh.ids, vectors.ids), (self._fresh.rows, vectors.rows)
        self._fresh = Vectors(np.concatenate(ids), np.concatenate(rows))

    def remove(self, ids: Int64Array) -> None:
        """Removes vectors; ids that are not there are no error."""
        self._gone = np.concatenate([self._gone, ids])

    def search(
        self, queries: Float32Array, k: int, *, allowed: Int64Array | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """As `VectorIndex.search`: scores `[q, k]` (cosines) and ids `[q, k]`, best first, ties by id."""
        few = allowed is None or self._inverted is None or len(allowed) * self._exact.dimension <= READ_ALL
        if len(queries) > MANY or not few:
            return self._heavy().search(queries, k, allowed=allowed)
        found = [self._nearest(query, k, allowed) for query in queries]
        return np.stack([scores for scores, _ in found]), np.stack([ids for _, ids in found])

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all: up to `count` of them, evenly spread."""
        if self._inverted is not None:
            rows = self._inverted.sample
            return rows[spread(len(rows), count)].astype(np.float32)
        saved, fresh = self._there(self._exact.ids), self._there(self._fresh.ids)
        places = spread(len(saved) + len(fresh), count)
        early, late = places[places < len(saved)], places[places >= len(saved)] - len(saved)
        return np.concatenate([self._exact.rows[saved[early]].astype(np.float32), self._fresh.rows[fresh[late]]])

    def _nearest(self, query: Float32Array, k: int, allowed: Int64Array | None) -> tuple[Float32Array, Int64Array]:
        if self._inverted is None:
            held = [self._scored(self._exact.ids, self._exact.rows, query, allowed)]
        else:
            worth = self._by_code(self._inverted, query, k) if allowed is None else self._let_through(allowed)
            held = [nearest_stored(self._stored, worth, query, k)]
        if self._inverted is None or allowed is None:
            held.append(self._scored(self._fresh.ids, self._fresh.rows, query, allowed))
        scores, ids = (np.concatenate(parts) for parts in zip(*held, strict=True))
        return best(scores, ids, k)

    def _let_through(self, allowed: Int64Array) -> Int64Array:
        """The allowed ids that there are."""
        return self._stored.within(allowed[self._there(allowed)])

    def _scored(
        self, ids: Int64Array, rows: npt.NDArray[np.floating], query: Float32Array, allowed: Int64Array | None
    ) -> tuple[Float32Array, Int64Array]:
        """Scores and ids, `[n]` each, of what is there."""
        if len(self._gone) or allowed is not None:
            places = self._there(ids, allowed)
            ids, rows = ids[places], rows[places]
        return cosines(rows, query), ids

    def _there(self, ids: Int64Array, allowed: Int64Array | None = None) -> Int64Array:
        """The places of ids that are not gone, and allowed."""
        there = ~np.isin(ids, self._gone) if len(self._gone) else np.ones(len(ids), bool)
        if allowed is not None:
            there &= np.isin(ids, allowed)
        return np.flatnonzero(there)

    def _by_code(self, saved: SavedInverted, query: Float32Array, k: int) -> Int64Array:
        """The ids `[n]` that are worth a look at their vectors, as `Inverted` chooses them."""
        turned = query @ saved.rotation
        nearest = np.argsort(-(saved.centroids @ turned))  # (lists, dim) @ (dim) -> (lists)
        probes = probes_for(saved, k, saved.total, saved.total)
        scores, ids = self._estimated(saved, turned, nearest[:probes])
        if len(ids) < k:  # the lists nearest to a query may hold too few
            scores, ids = self._estimated(saved, turned, nearest)
        return best(scores, ids, min(len(ids), max(saved.depth, DEEPER * k)))[1]

    def _estimated(
        self, saved: SavedInverted, turned: Float32Array, lists: Int64Array
    ) -> tuple[Float32Array, Int64Array]:
        """What the codes say of what is in lists: scores and ids, `[n]` each."""
        parts = [
            (estimates(codes, turned, saved.centroids[number]), ids)
            for number, codes, ids in saved.lists(lists.tolist())
        ]
        scores, ids = (np.concatenate(part) for part in zip(*parts, strict=True))
        places = self._there(ids)
        return scores[places], ids[places]


def nothing_saved(dimension: int) -> SavedExact:
    """An exact index without vectors."""
    return SavedExact(0, np.empty(0, np.int64), np.empty((0, dimension), np.float16))


def estimates(codes: Codes, query: Float32Array, centroid: Float32Array) -> Float32Array:
    """What the codes of a list say of the cosines `[n]` with a query: Gao and Long, "RaBitQ" (2024)."""
    dimension = len(query)
    residual = query - centroid
    signs = np.unpackbits(codes["signs"], axis=1, count=dimension, bitorder="little")  # (n, dim), 0 or 1
    product = (2 * (signs @ residual) - residual.sum()) / math.sqrt(dimension)
    apart = codes["offset"] + residual @ residual - 2 * codes["factor"] * product
    return np.asarray((query @ query - apart) / 2, np.float32)

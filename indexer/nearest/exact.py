"""Exact search: no vector is passed over. In numpy, by the vectors that are stored; nothing is kept beside them.

A question reads a byte of each number, and both of those that may be among the nearest, see
`StoredVectors.may_be_nearest`: 8,000 vectors of 256 dimensions in 0.4 ms, 100,000 in 8. Where it is asked again, an
int8 prefilter in memory takes half of that; many questions at once are answered by products of matrices, or by a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from indexer.items import Float32Array, Int64Array, Vectors, evenly_spaced
from indexer.storage.stored_vectors import StoredVectors, is_sound

if TYPE_CHECKING:
    from indexer.nearest.prefilter import Int8Prefilter

# Questions at once from which all vectors are unpacked for them; then so many at once, whose scores take 16 MB.
MANY, AT_ONCE = 16, 512

# Vectors that are unpacked at once: 8 MB at 256 dimensions.
PIECE = 8192

# Numbers, vectors times dimension, from which a second question makes an int8 prefilter: 4 ms of a core without one.
PREFILTER_FROM = 10_000_000

# How many of the best by the prefilter are known at once: at least so many, so many for each one that is asked for, and
# this part of all. Of 100,000 photos made of Flickr8k's, asked for by captions, 107 to 148 may be among the first ten
# (370 at most), 551 to 663 among the first hundred; 2,048 instead of 512 cost 1.7 ms of 4.6, and too few a scan more:
# then so many times as many.
REFINE_K, REFINE_FACTOR, REFINE_SHARE, AGAIN = 512, 16, 1 / 512, 8

# Neighbours that a GPU, which adds up in an order of its own, is asked for, for each one.
GPU_REFINE_FACTOR = 4

# What two ways to add up a cosine may differ by.
ROUNDING = 1e-5


# Vectors that are multiplied at once: 1 MB at 512 dimensions, which stays in the cache. 10,000 of them in blocks of
# 512 / 1024 / 4096: 6.0 / 8.0 / 8.7 ms.
BLOCK = 512


# Vectors that are read and multiplied at once, without a look at their upper bytes before.
FEW = 64


class Exact:
    """Some of the stored vectors, by their ids, in ascending order."""

    def __init__(self, stored: StoredVectors, ids: Int64Array) -> None:
        self.stored, self.ids = stored, np.sort(ids)
        self._was_asked = False
        self._prefilter: Int8Prefilter | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, ids: Int64Array) -> None:
        """Adds ids that it does not hold yet."""
        if len(ids):
            self.ids = np.sort(np.append(self.ids, ids))
            self._forget_copies()

    def remove(self, ids: Int64Array) -> None:
        """Removes ids; those that are not there are no error."""
        gone = np.isin(self.ids, ids)
        if gone.any():
            self.ids = self.ids[~gone]
            self._forget_copies()

    def _forget_copies(self) -> None:
        self._prefilter = None
        self.__dict__.pop("_gpu", None)

    def nearest(self, queries: Float32Array, k: int, allowed: Int64Array | None) -> tuple[Float32Array, Int64Array]:
        """The `k` nearest of each query: scores and ids `[q, k]`, best first, ties by id; -1 where there are fewer."""
        if allowed is None:
            self.stored.look_through(self.ids)
        places = None if allowed is None else np.flatnonzero(np.isin(self.ids, allowed))
        if len(queries) > MANY:
            return self._nearest_of_many(queries, k, places)
        found = [nearest_stored(self.stored, self._candidates(query, k, places), query, k) for query in queries]
        self._was_asked = True
        return np.stack([scores for scores, _ in found]), np.stack([ids for _, ids in found])

    def _candidates(self, query: Float32Array, k: int, places: Int64Array | None) -> Int64Array:
        """The ids that may be among the `k` nearest."""
        ids = self.ids if places is None else self.ids[places]
        if len(ids) * len(query) < PREFILTER_FROM or not self._was_asked:
            return ids
        if self._prefilter is None:
            from indexer.nearest.prefilter import Int8Prefilter

            self._prefilter = Int8Prefilter.of(self.pieces)
        refine_k = max(REFINE_K, REFINE_FACTOR * k, int(REFINE_SHARE * len(ids)))
        while refine_k < len(ids):
            approximate, bound, near = self._prefilter.scan(query, refine_k, places)
            # the k-th of some is no nearer than the k-th of all
            surely = nearest_stored(self.stored, self.ids[near[: 2 * k]], query, k)[0][-1]
            if approximate[-1] + bound < surely:
                worth: Int64Array = self.ids[near[approximate + bound >= surely]]
                return worth
            refine_k *= AGAIN
        return ids

    def _nearest_of_many(
        self, queries: Float32Array, k: int, places: Int64Array | None
    ) -> tuple[Float32Array, Int64Array]:
        if places is None and (near := self._by_gpu(queries, GPU_REFINE_FACTOR * k)) is not None:
            candidates = [self.ids[own[own >= 0]] for own in near]
        else:
            ids = self.ids if places is None else self.ids[places]
            starts = range(0, len(queries), AT_ONCE)
            candidates = [
                own for start in starts for own in self._by_products(queries[start : start + AT_ONCE], k, ids)
            ]
        found = [nearest_stored(self.stored, own, query, k) for own, query in zip(candidates, queries, strict=True)]
        return np.stack([scores for scores, _ in found]), np.stack([ids for _, ids in found])

    def _by_products(self, queries: Float32Array, k: int, ids: Int64Array) -> list[Int64Array]:
        """The ids that may be among the `k` nearest of each query, by products of matrices."""
        scores = np.full((len(queries), k), -np.inf, np.float32)
        worth_ranking: list[list[Int64Array]] = [[] for _ in queries]
        for start in range(0, len(ids), PIECE):
            own = ids[start : start + PIECE]
            products = queries @ self.stored.read(own).T  # (q, dim) @ (dim, n) -> (q, n)
            least = scores[:, -1:]
            if start == 0 and len(own) > k:
                least = np.partition(products, -k, axis=1)[:, -k, np.newaxis]
            for place in np.flatnonzero((products >= least - ROUNDING).any(axis=1)):
                worth = products[place] >= least[place] - ROUNDING
                worth_ranking[place].append(own[worth])
                scores[place] = np.sort(np.append(scores[place], products[place][worth]))[: -k - 1 : -1]
        return [np.concatenate(own) if own else ids[:0] for own in worth_ranking]

    def _by_gpu(self, queries: Float32Array, refine_k: int) -> Int64Array | None:
        """Places `[q, refine_k]` of the nearest by a GPU; None where none helps."""
        from indexer.nearest import gpu

        if refine_k > gpu.MOST or not gpu.wins(len(queries) * len(self) * queries.shape[1]):
            return None
        return None if self._gpu is None else gpu.nearest(self._gpu, queries, min(len(self), refine_k))

    @cached_property
    def _gpu(self) -> Any:
        """A copy of the vectors in a GPU's memory; None, and not tried again, if it has no room."""
        from indexer.nearest import gpu

        return gpu.copied((piece.rows for piece in self.pieces()), self.stored.dimension, half=True)

    def pieces(self) -> Iterator[Vectors]:
        """All vectors, in pieces."""
        for start in range(0, len(self.ids), PIECE):
            own = self.ids[start : start + PIECE]
            yield Vectors(own, self.stored.read(own))

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all: `count` of them, evenly spread, or all if there are fewer."""
        return self.stored.read(self.ids[evenly_spaced(len(self), count)])


def best(scores: Float32Array, ids: Int64Array, k: int) -> tuple[Float32Array, Int64Array]:
    """The `k` greatest of scores `[n]` with their ids, best first, ties by id; -inf and -1 where there are fewer."""
    if len(scores) > k:
        near = scores >= np.partition(scores, -k)[-k]
        scores, ids = scores[near], ids[near]
    order = np.lexsort((ids, -scores))[:k]
    best_scores, best_ids = np.full(k, -np.inf, np.float32), np.full(k, -1, np.int64)
    # rounding may lengthen a vector by a ten-thousandth
    best_scores[: len(order)] = np.minimum(np.maximum(scores[order], -1), 1)
    best_ids[: len(order)] = ids[order]
    return best_scores, best_ids


def nearest_stored(
    stored: StoredVectors, ids: Int64Array, query: Float32Array, k: int
) -> tuple[Float32Array, Int64Array]:
    """The `k` nearest of ids `[n]` to a query `[dim]` by their stored vectors: as `best` gives them.

    Damaged vectors are left out, and said to be damaged.
    """
    near = ids if len(ids) <= FEW else stored.may_be_nearest(query, ids, k)
    rows = stored.read(near)
    if not (sound := is_sound(rows)).all():
        return nearest_stored(stored, np.setdiff1d(ids, near[~sound]), query, k)
    scores, nearest = best(cosines(rows, query), near, k)
    if not stored.are_sound(nearest[nearest >= 0]):
        return nearest_stored(stored, ids, query, k)  # they read as zero now
    return scores, nearest


def cosines(rows: npt.NDArray[np.floating], query: Float32Array) -> Float32Array:
    """The scores `[n]` of rows `[n, dim]`, each by itself, so that equal vectors have equal ones."""
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        scores[start : start + BLOCK] = np.vecdot(rows[start : start + BLOCK].astype(np.float32, copy=False), query)
    return scores

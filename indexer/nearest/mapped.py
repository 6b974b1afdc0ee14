"""An inverted file in numpy, mapped from the file that was saved: answers a first question before FAISS is imported.

Looking at 10,000 codes of 512 dimensions takes 6 ms instead of FAISS's 0.7; but importing FAISS takes 100 ms, and
nothing has to be read into memory before. One core, a busy one.
"""

from __future__ import annotations

import math

import numpy as np

from indexer.items import Float32Array, Int64Array, spread
from indexer.nearest.parameters import nprobe_for
from indexer.nearest.ranking import best
from indexer.nearest.saved import Codes, SavedIVF, Sealed, read_ivf


class MappedIVF:
    """Codes of vectors in lists; see `ivf.IVF`, whose questions it takes one by one. May raise `DamagedIndex`."""

    def __init__(self, file: Sealed) -> None:
        self.file = file
        self._saved: SavedIVF = read_ivf(file)
        self.refine_k, self.nprobe = self._saved.refine_k, self._saved.nprobe
        self.nlist, self.dimension = self._saved.nlist, self._saved.dimension

    def __len__(self) -> int:
        return self._saved.total

    def by_code(self, queries: Float32Array, refine_k: int, k: int, gone: Int64Array) -> Int64Array:
        """The ids `[q, refine_k]` whose codes are nearest, but for those that are gone; -1 where there are fewer."""
        found = [self._by_code(query @ self._saved.rotation, refine_k, k, gone) for query in queries]
        return np.stack(found) if found else np.empty((0, refine_k), np.int64)

    def _by_code(self, rotated: Float32Array, refine_k: int, k: int, gone: Int64Array) -> Int64Array:
        nearest = np.argsort(-(self._saved.centroids @ rotated))  # (nlist, dim) @ (dim) -> (nlist)
        probed = nprobe_for(self.nprobe, self.nlist, k, len(self), len(self))
        scores, ids = self._estimated(rotated, nearest[:probed], gone)
        if len(ids) < k:  # the lists nearest to a query may hold too few
            scores, ids = self._estimated(rotated, nearest, gone)
        return best(scores, ids, refine_k)[1]

    def _estimated(self, rotated: Float32Array, lists: Int64Array, gone: Int64Array) -> tuple[Float32Array, Int64Array]:
        """What the codes say of what is in lists: scores and ids, `[n]` each."""
        parts = [
            (estimates(codes, rotated, self._saved.centroids[number]), ids)
            for number, codes, ids in self._saved.lists(lists.tolist())
        ]
        scores, ids = (np.concatenate(part) for part in zip(*parts, strict=True))
        if len(gone):
            there = ~np.isin(ids, gone)
            scores, ids = scores[there], ids[there]
        return scores, ids

    def held(self, ids: Int64Array) -> Int64Array:
        """Which of the ids it holds."""
        if not len(ids):
            return ids
        return np.intersect1d(ids, np.concatenate([own for _, _, own in self._saved.lists(range(self.nlist))]))

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all: up to `count` of those that were seen when the lists were made."""
        rows = self._saved.sample
        return rows[spread(len(rows), count)].astype(np.float32)


def estimates(codes: Codes, query: Float32Array, centroid: Float32Array) -> Float32Array:
    """What the codes of a list say of the cosines `[n]` with a query: Gao and Long, "RaBitQ" (2024)."""
    dimension = len(query)
    residual = query - centroid
    signs = np.unpackbits(codes["signs"], axis=1, count=dimension, bitorder="little")  # (n, dim), 0 or 1
    product = (2 * (signs @ residual) - residual.sum()) / math.sqrt(dimension)
    apart = codes["offset"] + residual @ residual - 2 * codes["factor"] * product
    return np.asarray((query @ query - apart) / 2, np.float32)

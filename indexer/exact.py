"""The exact index: every vector is looked at, as float16 in memory or on a GPU; best for libraries that are small."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import faiss
import numpy as np

from indexer.items import Float32Array, Int64Array, Vectors, spread

# The float16 of the catalog as they are: half the memory and twice the speed of float32.
KIND = "IDMap,SQfp16"

# Multiply-adds of one call from which a copy of the vectors on the GPU pays for itself. An estimate from
# bandwidths (20 GB/s of memory here against 2000 there, 20 GB/s in between): not measured, no GPU at hand.
GPU_WINS_FROM = 4e9

# Ids up to this many times their number are told from others by a bitmap, an eighth of a byte each; else by a set.
DENSE = 1000

# Vectors of the index that are float32 at once.
PIECE = 1 << 16


class Exact:
    """Unit vectors by id; a search looks at all of them."""

    lists = probes = depth = 1

    def __init__(self, index: Any) -> None:
        """`index` is one of `KIND`."""
        self._index = index

    @classmethod
    def empty(cls, dimension: int) -> Exact:
        """An index without vectors."""
        return cls(faiss.index_factory(dimension, KIND, faiss.METRIC_INNER_PRODUCT))

    @staticmethod
    def takes(index: Any) -> bool:
        """Whether a FAISS index is of `KIND`."""
        return isinstance(index, faiss.IndexIDMap) and isinstance(
            faiss.downcast_index(index.index), faiss.IndexScalarQuantizer
        )

    @property
    def dimension(self) -> int:
        """The vectors' length."""
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Vectors) -> None:
        """Adds vectors under ids that it does not hold yet."""
        self._index.add_with_ids(np.ascontiguousarray(vectors.rows), vectors.ids)
        self._forget_copies()

    def remove(self, ids: Int64Array) -> None:
        """Removes vectors; ids that are not there are no error."""
        self._index.remove_ids(faiss.IDSelectorBatch(ids))
        self._forget_copies()

    def _forget_copies(self) -> None:
        for copy in ("_gpu", "ids"):
            self.__dict__.pop(copy, None)

    def nearest(self, queries: Float32Array, k: int, allowed: Int64Array | None) -> tuple[Float32Array, Int64Array]:
        """The `k` nearest of each query: scores and ids `[q, k]`, best first, ties by id; -1 where there are fewer.

        It looks a little further, so that ties at the end are cut by id too.
        """
        reach, limit = k, len(self) if allowed is None else min(len(self), len(allowed))
        while True:
            reach = min(limit, 2 * reach)
            scores, ids = self._search(queries, reach, allowed)
            order = np.lexsort((ids, -scores))
            scores, ids = np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)
            if reach <= k or reach == limit or (scores[:, k - 1] > scores[:, -1]).all():
                return scores[:, :k], ids[:, :k]

    def _search(self, queries: Float32Array, k: int, allowed: Int64Array | None) -> tuple[Float32Array, Int64Array]:
        if allowed is None and self._gpu_wins(len(queries)):
            scores, positions = self._gpu.search(queries, k)
            return scores, self.ids[positions]
        parameters: Any = faiss.SearchParameters()
        lets = None if allowed is None else selector(allowed)  # kept: the parameters do not hold it
        if lets is not None:
            parameters.sel = lets
        scores, ids = self._index.search(queries, k, params=parameters)
        return scores, ids

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all: `count` of them, evenly spread, or all if there are fewer."""
        rows: Float32Array = self._index.index.reconstruct_batch(spread(len(self), count))
        return rows

    def pieces(self) -> Iterator[Vectors]:
        """All vectors, in pieces."""
        for start in range(0, len(self), PIECE):
            rows = self._index.index.reconstruct_n(start, min(PIECE, len(self) - start))
            yield Vectors(self.ids[start : start + PIECE], rows)

    @cached_property
    def ids(self) -> Int64Array:
        """The ids in the order of their positions."""
        ids: Int64Array = faiss.vector_to_array(self._index.id_map)
        return ids

    def faiss_index(self) -> Any:
        """What is written to the file."""
        return self._index

    def behind(self) -> bytes:
        """What is written behind it: nothing."""
        return b""

    # on a GPU

    def _gpu_wins(self, queries: int) -> bool:
        return queries * len(self) * self.dimension >= GPU_WINS_FROM and int(faiss.get_num_gpus()) > 0

    @cached_property
    def _gpu(self) -> Any:
        """A float16 copy of the vectors in the GPU's memory."""
        flat = faiss.GpuIndexFlatConfig()
        flat.useFloat16 = True
        self._gpu_resources = faiss.StandardGpuResources()  # must live as long as the copy
        copy = faiss.GpuIndexFlatIP(self._gpu_resources, self.dimension, flat)
        for piece in self.pieces():
            copy.add(piece.rows)
        return copy


def selector(ids: Int64Array) -> Any:
    """What lets only these ids through. A bitmap is asked in a nanosecond, a set in ten."""
    last = int(ids.max(initial=0))
    if last > DENSE * (len(ids) + DENSE) or ids.min(initial=0) < 0:
        return faiss.IDSelectorBatch(ids)
    there = np.zeros(last // 8 * 8 + 8, dtype=bool)
    there[ids] = True
    bitmap: Any = faiss.IDSelectorBitmap
    return bitmap(np.packbits(there, bitorder="little"))

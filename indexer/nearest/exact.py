"""The exact index: no vector is passed over; as float16 in memory, mapped from its file or on a GPU.

A question reads a byte of each number, and both bytes of those that may be among the nearest, see
`indexer.nearest.rough`. Of a million vectors of 512 dimensions that takes 67 ms of one core; reading both of all, 81 to
only read them and 96 by FAISS ("IDMap,SQfp16"), which does nothing else meanwhile. Best for libraries that are small.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from indexer.items import Float32Array, Int64Array, Vectors, spread
from indexer.nearest import gpu
from indexer.nearest.halves import PIECE, Halves
from indexer.nearest.ranking import best, cosines
from indexer.nearest.rough import Rough, peaks
from indexer.nearest.saved import HALF, Float16Array, SavedExact, exact_header

# Ids up to this many times their number are told from others by a bitmap, an eighth of a byte each; else by a set.
DENSE = 1000

# Selectors of ids that are kept, an eighth of a byte an id: that of half a million takes a millisecond to make.
SELECTORS_KEPT = 4

# How many of the best by a scan are known at once, and for each one that is asked for: more cost nothing (30.0 ms of
# half a million with 10 and 30.2 with 2048), and scanning again costs all. Then how many times as many. So few or fewer
# are all looked at exactly, in half a microsecond each.
DEPTH, DEEPER, AGAIN = 2048, 4, 8


class Exact:
    """Unit vectors by id; a search passes over none of them."""

    lists = probes = depth = 1

    def __init__(self, ids: Int64Array, rows: Float16Array) -> None:
        """`rows` `[n, dim]` of `ids` `[n]`; they are not copied, and may lie in a file."""
        self.ids = ids
        self.dimension = int(rows.shape[1])
        self._rows = Halves(rows)

    @classmethod
    def empty(cls, dimension: int) -> Exact:
        """An index without vectors."""
        return cls(np.empty(0, np.int64), np.empty((0, dimension), np.float16))

    @classmethod
    def opened(cls, saved: SavedExact) -> Exact:
        """What was saved, its rows where they are; in memory where a file that is mapped cannot be replaced."""
        return cls(saved.ids, np.array(saved.rows) if os.name == "nt" else saved.rows)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, vectors: Vectors) -> None:
        """Adds vectors under ids that it does not hold yet."""
        rows = vectors.rows.astype(HALF)
        self._rows.add(rows)
        self.ids = np.append(self.ids, vectors.ids)
        if "_rough" in self.__dict__:
            self._rough.add(rows)
        self._forget_copies()

    def remove(self, ids: Int64Array) -> None:
        """Removes vectors; ids that are not there are no error."""
        gone = np.isin(self.ids, ids)
        if "_rough" in self.__dict__:
            self._rough.remove(np.flatnonzero(gone))
        self._rows.keep(~gone)
        self.ids = self.ids[~gone]
        self._forget_copies()

    def _forget_copies(self) -> None:
        self.__dict__.pop("_gpu", None)
        if "_rough" in self.__dict__ and self._rough.is_worn:
            del self._rough

    # searching

    def nearest(self, queries: Float32Array, k: int, allowed: Int64Array | None) -> tuple[Float32Array, Int64Array]:
        """The `k` nearest of each query: scores and ids `[q, k]`, best first, ties by id; -1 where there are fewer."""
        places = None if allowed is None else np.flatnonzero(np.isin(self.ids, allowed))
        if places is None and self._gpu_wins(len(queries), k):
            return self._nearest_by_gpu(queries, k)
        lets = None if places is None else selector(places)
        found = [self._nearest(query, k, places, lets) for query in queries]
        return np.stack([scores for scores, _ in found]), np.stack([ids for _, ids in found])

    def _nearest(
        self, query: Float32Array, k: int, places: Int64Array | None, lets: Any
    ) -> tuple[Float32Array, Int64Array]:
        near = self._may_be_nearest(query, k, len(self) if places is None else len(places), lets)
        if near is None:
            near = np.arange(len(self)) if places is None else places
        return best(self._cosines(near, query), self.ids[near], k)

    def _may_be_nearest(self, query: Float32Array, k: int, total: int, lets: Any) -> Int64Array | None:
        """The places, of `total` that count, in which the `k` nearest are; None for all."""
        depth = max(DEPTH, DEEPER * k)
        while depth < total:
            rough, doubt, places = self._rough.scan(query, depth, lets)
            # the k-th of some is no nearer than the k-th of all
            surely = np.partition(self._cosines(places[: 2 * k], query), -k)[-k]
            if rough[-1] + doubt < surely:
                near: Int64Array = places[rough + doubt >= surely]
                return near
            depth *= AGAIN
        return None

    def _cosines(self, places: Int64Array, query: Float32Array) -> Float32Array:
        pieces = (self._rows.take(places[start : start + PIECE]) for start in range(0, len(places), PIECE))
        return np.concatenate([np.empty(0, np.float32), *(cosines(piece, query) for piece in pieces)])

    @cached_property
    def _rough(self) -> Rough:
        """Codes of all, made by the first search that needs them."""
        rough = Rough(peaks(self._rows.pieces(), self.dimension))
        for piece in self._rows.pieces():
            rough.add(piece)
        return rough

    # as a whole

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all: `count` of them, evenly spread, or all if there are fewer."""
        return self._rows.take(spread(len(self), count)).astype(np.float32)

    def pieces(self) -> Iterator[Vectors]:
        """All vectors, in pieces."""
        start = 0
        for rows in self._rows.pieces():
            yield Vectors(self.ids[start : start + len(rows)], rows.astype(np.float32))
            start += len(rows)

    def write(self, path: Path) -> None:
        """Writes a file of FAISS's "IDMap,SQfp16", which serves instead of memory from then on. Raises `OSError`."""
        header = exact_header(self.dimension, len(self))
        with path.open("wb") as file:
            file.write(header)
            for piece in self._rows.pieces():
                file.write(piece.data)
            file.write(len(self).to_bytes(8, "little") + self.ids.tobytes())
        if len(self) and os.name != "nt":
            self._rows = Halves(np.memmap(path, HALF, "r", len(header), (len(self), self.dimension)))

    # on a GPU

    def _nearest_by_gpu(self, queries: Float32Array, k: int) -> tuple[Float32Array, Int64Array]:
        """Ranked exactly once more: a GPU adds up in an order of its own."""
        assert self._gpu is not None
        _, places = self._gpu.nearest(queries, min(len(self), DEEPER * k))
        found = [
            best(self._cosines(near, query), self.ids[near], k) for near, query in zip(places, queries, strict=True)
        ]
        return np.stack([scores for scores, _ in found]), np.stack([ids for _, ids in found])

    def _gpu_wins(self, queries: int, k: int) -> bool:
        work = queries * len(self) * self.dimension
        return DEEPER * k <= gpu.MOST and gpu.wins(work) and self._gpu is not None

    @cached_property
    def _gpu(self) -> gpu.Copy | None:
        """A copy of the vectors in a GPU's memory, if it has room."""
        return gpu.copied((piece.rows for piece in self.pieces()), self.dimension, half=True)


def selector(ids: Int64Array) -> Any:
    """What lets only these ids through; that of an array which cannot be written to is made once."""
    known, made = _made.get(id(ids), (None, None))
    if known is not None and known() is ids:
        return made
    lets = _selector(ids)
    if not ids.flags.writeable:
        for old in list(_made)[: len(_made) + 1 - SELECTORS_KEPT]:
            _made.pop(old, None)
        _made[id(ids)] = weakref.ref(ids), lets
    return lets


_made: dict[int, tuple[weakref.ref[Int64Array], Any]] = {}


def _selector(ids: Int64Array) -> Any:
    """A bitmap is asked in a nanosecond, a set in ten."""
    last = int(ids.max(initial=0))
    if last > DENSE * (len(ids) + DENSE) or ids.min(initial=0) < 0:
        return faiss.IDSelectorBatch(ids)
    there = np.zeros(last // 8 * 8 + 8, dtype=bool)
    there[ids] = True
    bitmap: Any = faiss.IDSelectorBitmap
    return bitmap(np.packbits(there, bitorder="little"))

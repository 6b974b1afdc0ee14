"""An int8 prefilter: what may be among the nearest, found by reading a byte of each number, and none of it missed.

Each number is counted in steps of its dimension's own. What the rounding leaves out of a vector is another vector,
whose inner product with a query is at most the product of their lengths (Cauchy and Schwarz): that is the error bound.
Who has ranked the best of a scan exactly knows whether anything else could be as near.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import faiss
import numpy as np

from indexer.items import Float32Array, Int64Array, Vectors
from indexer.threads import processors

# Steps from zero to the greatest number of a dimension: what a signed byte holds. And the least step: float16's.
STEPS = 127
LEAST = 2.0**-24

# What float32 rounds a number by, at most, and each number that it adds.
EPSILON = 2.0**-23

# Rows that are coded at once: 1 MB at 512 dimensions, which stays in the cache.
BLOCK = 512

# Numbers that a thread scans at least: a millisecond's work. Half a million vectors of 512 dimensions take one thread
# 28 ms and two 17.5.
SHARE = 8_000_000


class Int8Prefilter:
    """Codes of vectors by their places, which count from 0 in the order in which they were added."""

    def __init__(self, peaks: Float32Array) -> None:
        """`peaks` `[dim]` are the greatest numbers of each dimension, whatever their sign; greater ones are cut."""
        self._steps = np.maximum(peaks / STEPS, LEAST).astype(np.float32)
        signed = faiss.ScalarQuantizer.QT_8bit_direct_signed
        self._codes = faiss.IndexScalarQuantizer(len(peaks), signed, faiss.METRIC_INNER_PRODUCT)
        self._left_out = self._longest = 0.0  # of what rounding leaves out of a vector, and of the codes

    @classmethod
    def of(cls, pieces: Callable[[], Iterable[Vectors]]) -> Int8Prefilter:
        """Codes of all vectors, which are read twice: once for their peaks."""
        peaks = np.max([np.abs(piece.rows).max(axis=0) for piece in pieces()], axis=0)
        prefilter = cls(peaks)
        for piece in pieces():
            prefilter.add(piece.rows)
        return prefilter

    def __len__(self) -> int:
        return int(self._codes.ntotal)

    def add(self, rows: Float32Array) -> None:
        """Adds vectors `[n, dim]`."""
        codes = np.empty(rows.shape, np.uint8)
        for start in range(0, len(rows), BLOCK):
            counted = rows[start : start + BLOCK] / self._steps
            whole = np.clip(np.rint(counted), -STEPS, STEPS)
            counted -= whole
            self._left_out = max(self._left_out, _longest(counted))
            self._longest = max(self._longest, _longest(whole))
            whole += STEPS + 1
            codes[start : start + BLOCK] = whole
        self._codes.add_sa_codes(codes)

    def scan(
        self, query: Float32Array, refine_k: int, places: Int64Array | None = None
    ) -> tuple[Float32Array, float, Int64Array]:
        """The `refine_k` best of a query `[dim]` by their codes, best first: cosines, their error bound, and places.

        Only `places` count, of which there must be as many; None for all. No cosine of any vector with the query, were
        it found or not, is farther than the bound from what its code says.
        """
        in_steps = query * self._steps
        step = max(float(np.abs(in_steps).max()) / STEPS, LEAST**2)
        counted = np.rint(in_steps / step)  # whole numbers: FAISS cuts off what is behind the point
        left_out = float(np.linalg.norm(in_steps - step * counted))
        bound = self._left_out * float(np.linalg.norm(in_steps)) + self._longest * left_out
        rounding = len(query) * EPSILON
        scores, found = self._best(counted[np.newaxis], refine_k, None if places is None else bitmap(places))
        return scores * np.float32(step), (1 + rounding) * bound + rounding, found

    def _best(self, counted: Float32Array, refine_k: int, selector: Any) -> tuple[Float32Array, Int64Array]:
        parts = min(processors(), max(1, self._codes.ntotal * self._codes.d // SHARE))
        ends = np.linspace(0, len(self), parts + 1, dtype=np.int64).tolist()

        def part(start: int, stop: int) -> tuple[Float32Array, Int64Array]:
            parameters: Any = faiss.SearchParameters()
            within = faiss.IDSelectorRange(start, stop, True)
            both = within if selector is None else faiss.IDSelectorAnd(within, selector)
            parameters.sel = selector if parts == 1 else both
            with one_thread():
                scores, places = self._codes.search(counted, refine_k, params=parameters)
            return scores[0], places[0]

        if parts == 1:
            return part(0, len(self))
        found = list(_threads(parts).map(part, ends[:-1], ends[1:]))
        scores, places = (np.concatenate(some) for some in zip(*found, strict=True))
        order = np.argsort(-scores, kind="stable")[:refine_k]
        return scores[order], places[order]


def bitmap(ids: Int64Array) -> Any:
    """FAISS's selector of ids from 0 on, asked in a nanosecond; a set (`IDSelectorBatch`) is asked in ten."""
    there = np.zeros(int(ids.max(initial=0)) // 8 * 8 + 8, dtype=bool)
    there[ids] = True
    selector: Any = faiss.IDSelectorBitmap
    return selector(np.packbits(there, bitorder="little"))


@contextmanager
def one_thread() -> Any:
    """FAISS in one thread: with little to do, two take a hundred times as long, since they spin waiting for each other.

    That is where something else runs on one of the cores; a scan by two took 4-6 times as long on two idle ones.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _longest(rows: Float32Array) -> float:
    return math.sqrt(np.vecdot(rows, rows).max(initial=0))


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """Threads of our own, which wait for each other without spinning."""
    return ThreadPoolExecutor(count, "scan")

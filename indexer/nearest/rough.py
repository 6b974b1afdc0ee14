"""A byte a number: what may be among the nearest, found by reading half of float16's bytes, and none of it missed.

Each number is counted in steps of its dimension's own. What the rounding leaves out of a vector is another vector,
whose inner product with a query is at most the product of their lengths (Cauchy and Schwarz): that is the doubt. Who
has ranked the best of a scan exactly knows whether anything else could be as near.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import faiss
import numpy as np

from indexer.items import Float32Array, Int64Array
from indexer.nearest.halves import one_thread
from indexer.nearest.saved import Float16Array
from indexer.threads import processors

# Steps from zero to the greatest number of a dimension: what a signed byte holds. And the least step: float16's.
STEPS = 127
LEAST = 2.0**-24

# The bits of a float16 but its sign.
UNSIGNED = np.uint16(0x7FFF)

# How much more than numbers rounded by chance (1 / 12 each, squared) a vector may lose.
WORN = 2

# What float32 rounds a number by, at most, and each number that it adds.
EPSILON = 2.0**-23

# Rows that are float32 at once: 1 MB at 512 dimensions, which stays in the cache.
BLOCK = 512

# Numbers that a thread scans at least: a millisecond's work. Half a million vectors of 512 dimensions take one thread
# 28 ms and two 17.5.
SHARE = 8_000_000


class Rough:
    """Codes of vectors by their places, which count from 0 in the order in which they were added."""

    def __init__(self, peaks: Float32Array) -> None:
        """`peaks` `[dim]` are the greatest numbers of each dimension, whatever their sign; greater ones are cut."""
        self._steps = np.maximum(peaks / STEPS, LEAST).astype(np.float32)
        signed = faiss.ScalarQuantizer.QT_8bit_direct_signed
        self._codes = faiss.IndexScalarQuantizer(len(peaks), signed, faiss.METRIC_INNER_PRODUCT)
        self._left_out = self._longest = 0.0  # of what rounding leaves out of a vector, and of the codes

    def __len__(self) -> int:
        return int(self._codes.ntotal)

    def add(self, rows: Float16Array) -> None:
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

    @property
    def is_worn(self) -> bool:
        """Whether much was cut, so that it finds too much: better to begin again with the peaks of all."""
        return self._left_out > WORN * math.sqrt(int(self._codes.d) / 12)

    def remove(self, places: Int64Array) -> None:
        """Removes vectors; those behind them move up."""
        self._codes.remove_ids(faiss.IDSelectorBatch(places))

    def scan(self, query: Float32Array, depth: int, lets: Any) -> tuple[Float32Array, float, Int64Array]:
        """The `depth` best of a query `[dim]` by their codes, best first: cosines `[depth]`, doubt, places `[depth]`.

        `lets` is FAISS's selector of places, None for all. There must be as many. No cosine of any vector with the
        query, were it found or not, is farther than the doubt from what its code says.
        """
        in_steps = query * self._steps
        step = max(float(np.abs(in_steps).max()) / STEPS, LEAST**2)
        counted = np.rint(in_steps / step)  # whole numbers: FAISS cuts off what is behind the point
        left_out = float(np.linalg.norm(in_steps - step * counted))
        doubt = self._left_out * float(np.linalg.norm(in_steps)) + self._longest * left_out
        rounding = len(query) * EPSILON
        scores, places = self._best(counted[np.newaxis], depth, lets)
        return scores * np.float32(step), (1 + rounding) * doubt + rounding, places

    def _best(self, counted: Float32Array, depth: int, lets: Any) -> tuple[Float32Array, Int64Array]:
        parts = min(processors(), max(1, self._codes.ntotal * self._codes.d // SHARE))
        ends = np.linspace(0, len(self), parts + 1, dtype=np.int64).tolist()

        def part(start: int, stop: int) -> tuple[Float32Array, Int64Array]:
            parameters: Any = faiss.SearchParameters()
            within = faiss.IDSelectorRange(start, stop, True)
            both = within if lets is None else faiss.IDSelectorAnd(within, lets)
            parameters.sel = lets if parts == 1 else both
            with one_thread():
                scores, places = self._codes.search(counted, depth, params=parameters)
            return scores[0], places[0]

        if parts == 1:
            return part(0, len(self))
        found = list(_threads(parts).map(part, ends[:-1], ends[1:]))
        scores, places = (np.concatenate(some) for some in zip(*found, strict=True))
        order = np.argsort(-scores, kind="stable")[:depth]
        return scores[order], places[order]


def peaks(pieces: Iterable[Float16Array], dimension: int) -> Float32Array:
    """The greatest numbers `[dim]` of each dimension of the rows, whatever their sign."""
    greatest = np.zeros(dimension, np.uint16)
    for piece in pieces:
        bits = piece.view(np.uint16)  # but for the sign, float16 are in the order of their bits
        for start in range(0, len(bits), BLOCK):
            np.maximum(greatest, (bits[start : start + BLOCK] & UNSIGNED).max(axis=0), out=greatest)
    return greatest.view(np.float16).astype(np.float32)


def _longest(rows: Float32Array) -> float:
    return math.sqrt(np.vecdot(rows, rows).max(initial=0))


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """Threads of our own, which wait for each other without spinning."""
    return ThreadPoolExecutor(count, "scan")

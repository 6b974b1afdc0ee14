"""Rows of float16 by their places: in memory or in a file that is mapped, never copied to grow, shrink or be read."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from indexer.nearest.saved import HALF, Float16Array

# Rows in a piece: 8 MB at 512 dimensions.
PIECE = 8192


class Halves:
    """Rows that count from 0; what is removed stays where it is, and the places behind it move up."""

    def __init__(self, rows: Float16Array) -> None:
        """`rows` `[n, dim]` are kept, not copied."""
        self._parts = [rows]
        self._at = np.arange(len(rows))  # in the parts, one behind the other

    def __len__(self) -> int:
        return len(self._at)

    @property
    def dimension(self) -> int:
        """The rows' length."""
        return int(self._parts[0].shape[1])

    def add(self, rows: Float16Array) -> None:
        """Adds rows `[n, dim]`, which are not copied either."""
        self._at = np.append(self._at, sum(map(len, self._parts)) + np.arange(len(rows)))
        self._parts.append(rows)

    def keep(self, kept: npt.NDArray[np.bool_]) -> None:
        """Keeps those for which `kept` `[n]` says so."""
        self._at = self._at[kept]

    def take(self, places: npt.NDArray[np.integer]) -> Float16Array:
        """The rows `[m, dim]` of places, in their order."""
        at = self._at[places]
        rows = np.empty((len(at), self.dimension), HALF)
        start = 0
        for part in self._parts:
            own = (at >= start) & (at < start + len(part))
            rows[own] = part[at[own] - start]
            start += len(part)
        return rows

    def pieces(self) -> Iterator[Float16Array]:
        """All rows in their order, at most `PIECE` of them at once; those of a part that is whole without copying."""
        start = 0
        for part in self._parts:
            first, last = np.searchsorted(self._at, (start, start + len(part)))
            for place in range(first, last, PIECE):
                at = self._at[place : min(place + PIECE, last)] - start
                together = at[-1] - at[0] == len(at) - 1
                yield part[at[0] : at[-1] + 1] if together else part[at]
                _let_go(part)
            start += len(part)


def _let_go(rows: Float16Array) -> None:
    """Takes a file that is read through out of this process's memory; the system still has it at hand."""
    content = _mapped(rows)
    if content is not None and hasattr(content, "madvise"):
        content.madvise(mmap.MADV_DONTNEED)


def _mapped(rows: Any) -> mmap.mmap | None:
    """The map that an array looks into, if any."""
    while rows is not None and not isinstance(rows, mmap.mmap):
        rows = rows.obj if isinstance(rows, memoryview) else getattr(rows, "base", None)
    return rows


@contextmanager
def one_thread() -> Iterator[None]:
    """FAISS in one thread: with little to do, two take a hundred times as long, since they spin waiting for each other.

    That is where something else runs on one of the cores; a scan by two took 4-6 times as long on two idle ones.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

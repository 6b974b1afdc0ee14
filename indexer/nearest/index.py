"""Nearest neighbours by FAISS: a cache of the catalog's vectors that can be rebuilt at any time.

Every index is built with the inner product, so that its scores are cosines (`IndexHNSWFlat` and its like silently mean
L2 otherwise). A query never changes an index: what varies from query to query travels in search parameters.
"""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from pathlib import Path

import faiss
import numpy as np

from indexer.atomic import atomic_write
from indexer.items import Float32Array, Int64Array, Vectors
from indexer.nearest.exact import Exact
from indexer.nearest.halves import one_thread
from indexer.nearest.inverted import Inverted
from indexer.nearest.saved import STAMP, SavedExact, read_saved, saved_revision
from indexer.storage.stored_vectors import StoredVectors

# How files are opened: FAISS maps inverted lists into memory instead of reading them, and reads all else as ever.
# Its maps are not for Windows, where all is read.
MAPPED = 0 if os.name == "nt" else faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY


class VectorIndex:
    """Unit vectors by id, searched by cosine.

    `revision` is the catalog's state that the vectors stand for. Whoever searches does not notice the kind: an exact
    index finds the nearest, an approximate one nearly all of them, and the scores of both are exact.
    """

    def __init__(self, dimension: int, *, revision: int = 0) -> None:
        self.revision = revision
        self._kind: Exact | Inverted = Exact.empty(dimension)

    @classmethod
    def approximate(cls, inverted: Inverted, *, revision: int = 0) -> VectorIndex:
        """An index of an inverted file."""
        index = cls.__new__(cls)
        index._kind, index.revision = inverted, revision
        return index

    @property
    def dimension(self) -> int:
        """The vectors' length."""
        return self._kind.dimension

    def __len__(self) -> int:
        return len(self._kind)

    @property
    def is_exact(self) -> bool:
        """Whether it finds the nearest without fail; otherwise most of them, see `descry optimize`."""
        return isinstance(self._kind, Exact)

    def add(self, vectors: Vectors) -> None:
        """Adds vectors under ids that the index does not hold yet."""
        if len(vectors):
            self._kind.add(vectors)

    def remove(self, ids: Int64Array) -> None:
        """Removes vectors; ids that are not there are no error."""
        if len(ids):
            self._kind.remove(ids)

    def search(
        self, queries: Float32Array, k: int, *, allowed: Int64Array | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """The `k` nearest of each query row: scores `[q, k]` (cosines) and ids `[q, k]`, best first, ties by id.

        `allowed` limits the search to those ids. Where fewer than `k` are left, ids are -1 and scores -inf.
        """
        found = min(k, len(self) if allowed is None else min(len(self), len(allowed)))
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        if found and len(queries):
            queries = np.ascontiguousarray(queries, dtype=np.float32)
            with one_thread() if len(queries) == 1 else nullcontext():
                scores[:, :found], ids[:, :found] = self._kind.nearest(queries, found, allowed)
        # half precision may lengthen a vector by a ten-thousandth
        return np.where(ids < 0, -np.inf, np.clip(scores, -1, 1)).astype(np.float32), ids

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all: up to `count` of them, evenly spread."""
        return self._kind.sample(count)

    @property
    def lists(self) -> int:
        """The lists of an inverted file; 1 of an exact index."""
        return self._kind.lists

    @property
    def probes(self) -> int:
        """The lists that a query scans at least."""
        return self._kind.probes

    @property
    def depth(self) -> int:
        """How many of what the lists' codes find is looked at exactly."""
        return self._kind.depth

    def save(self, path: Path) -> None:
        """Writes the index, with its revision behind it, all or nothing. Raises `OSError` where it cannot."""
        try:
            with atomic_write(path) as new:
                self._kind.write(new)
                with new.open("ab") as file:
                    file.write(self.revision.to_bytes(STAMP, "little"))
        except RuntimeError as error:  # what FAISS makes of a full disk
            raise OSError(f"{path} cannot be written") from error

    @classmethod
    def open(cls, path: Path, stored: StoredVectors) -> VectorIndex:
        """The index that `save` wrote. Raises `ValueError` for a file that is none, `OSError` for no file.

        An inverted file is not read: its lists are mapped into memory, and a query touches those that it scans.
        By the vectors that are `stored` it ranks what it finds.
        """
        revision = saved_revision(path)
        if revision is None:
            raise FileNotFoundError(path)
        index = cls.__new__(cls)
        index._kind = _opened(path, stored)
        index.revision = revision
        return index


def _opened(path: Path, stored: StoredVectors) -> Exact | Inverted:
    with suppress(ValueError):
        saved = read_saved(path)
        if isinstance(saved, SavedExact):
            return Exact.opened(saved)
    try:
        index = faiss.read_index(str(path), MAPPED)
    except (RuntimeError, MemoryError) as error:
        raise ValueError(f"{path} is not an index") from error
    if not Inverted.takes(index):  # of a kind that an earlier version wrote, or cut short
        raise ValueError(f"{path} is not an index that is used any more")
    return Inverted.opened(index, path, STAMP, stored)

"""Nearest neighbours by FAISS: a cache of the catalog's vectors that can be rebuilt at any time.

Every index is built by `faiss.index_factory` with the inner product, so that its scores are cosines
(`IndexHNSWFlat` and its like silently mean L2 otherwise). A query never changes an index: what varies
from query to query travels in search parameters.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from indexer import inverted
from indexer.inverted import Changes
from indexer.items import Float32Array, Int64Array, Vectors

# Exact over the float16 vectors that the catalog holds: half the memory and twice the speed of float32.
EXACT = "IDMap,SQfp16"

# Multiply-adds of one call from which a copy of the vectors on the GPU pays for itself. An estimate from
# bandwidths (20 GB/s of memory here against 2000 there, 20 GB/s in between): not measured, no GPU at hand.
GPU_WINS_FROM = 4e9

# How files are opened: FAISS maps inverted lists into memory instead of reading them, and reads all else as ever.
# Its maps are not for Windows, where all is read.
MAPPED = 0 if os.name == "nt" else faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY

# Bytes behind FAISS's own in a saved index: the revision. FAISS reads what is its own and no further.
STAMP = 8


class VectorIndex:
    """Unit vectors by id, searched by cosine.

    `revision` is the catalog's state that the vectors stand for; `kind` a key of `faiss.index_factory`. Whoever
    searches does not notice the kind: an exact index finds the nearest, an approximate one nearly all of them.
    """

    # Of an inverted file that was opened, and is not changed any more.
    _changes: Changes | None = None

    def __init__(self, dimension: int, *, kind: str = EXACT, revision: int = 0) -> None:
        self.revision = revision
        self._index: Any = faiss.index_factory(dimension, kind, faiss.METRIC_INNER_PRODUCT)

    @classmethod
    def approximate(cls, centroids: Float32Array, *, probes: int, revision: int = 0) -> VectorIndex:
        """An empty inverted file around centroids `[lists, dim]`, of which a query scans `probes` lists or more."""
        index = cls.__new__(cls)
        index._index, index.revision = inverted.empty(centroids, probes=probes), revision
        return index

    @property
    def dimension(self) -> int:
        """The vectors' length."""
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal) + (self._changes.balance if self._changes else 0)

    def train(self, rows: Float32Array) -> None:
        """Shows a sample of the vectors `[n, dim]` to a kind that has to learn them; needless for the exact one."""
        self._index.train(rows)

    def add(self, vectors: Vectors) -> None:
        """Adds vectors under ids that the index does not hold yet."""
        if len(vectors):
            index = self._changes.fresh if self._changes else self._index
            index.add_with_ids(np.ascontiguousarray(vectors.rows), vectors.ids)
            self._forget_copies()

    def remove(self, ids: Int64Array) -> None:
        """Removes vectors; ids that are not there are no error."""
        if not len(ids):
            return
        if self._changes:
            self._changes.remove(ids)
        else:
            self._index.remove_ids(faiss.IDSelectorBatch(ids))
        self._forget_copies()

    def _forget_copies(self) -> None:
        for copy in ("_gpu", "_ids"):
            self.__dict__.pop(copy, None)

    def search(
        self, queries: Float32Array, k: int, *, allowed: Int64Array | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """The `k` nearest of each query row: scores `[q, k]` (cosines) and ids `[q, k]`, best first, ties by id.

        `allowed` limits the search to those ids. Where fewer than `k` are left, ids are -1 and scores -inf.
        """
        found = min(k, self._candidates(allowed))
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        if found:
            with _threads_for(len(queries)):
                scores[:, :found], ids[:, :found] = self._nearest(queries, found, allowed)
        # half precision may lengthen a vector by a ten-thousandth
        return np.where(ids < 0, -np.inf, np.clip(scores, -1, 1)).astype(np.float32), ids

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all: `count` of them, evenly spread, or all if there are fewer."""
        index = self._outer
        places = np.linspace(0, index.ntotal - 1, min(count, index.ntotal), dtype=np.int64)
        if not self.is_exact:
            return inverted.rows_at(index, places)
        rows: Float32Array = index.index.reconstruct_batch(places)
        return rows

    def _candidates(self, allowed: Int64Array | None) -> int:
        return len(self) if allowed is None else min(len(self), len(allowed))

    def _nearest(self, queries: Float32Array, k: int, allowed: Int64Array | None) -> tuple[Float32Array, Int64Array]:
        """Like `search`, for `k` within the index; looks a little further so that ties at the end are cut by id."""
        reach, limit = k, self._candidates(allowed)
        while True:
            reach = min(limit, 2 * reach)
            scores, ids = self._faiss_search(queries, reach, allowed)
            order = np.lexsort((ids, -scores))
            scores, ids = np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)
            if reach == limit or (scores[:, k - 1] > scores[:, -1]).all():
                return scores[:, :k], ids[:, :k]

    def _faiss_search(
        self, queries: Float32Array, k: int, allowed: Int64Array | None
    ) -> tuple[Float32Array, Int64Array]:
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if allowed is None and self._gpu_wins(len(queries)):
            scores, positions = self._gpu.search(queries, k)
            return scores, self._ids[positions]
        if self.is_exact:
            return self._scan(self._index, queries, k, self._selector(allowed), None)
        probes = inverted.probes_for(self._ivf, k, self._candidates(allowed), len(self))
        scores, ids = self._probe(queries, k, allowed, probes)
        if probes < self._ivf.nlist and (ids < 0).any():  # the lists nearest to a query may hold too few
            return self._probe(queries, k, allowed, self._ivf.nlist)
        return scores, ids

    def _probe(
        self, queries: Float32Array, k: int, allowed: Int64Array | None, probes: int
    ) -> tuple[Float32Array, Int64Array]:
        """The `k` nearest in `probes` lists and among what has come since."""
        selector = self._selector(allowed)
        scores, ids = self._scan(self._index, queries, k, selector, probes)
        if not self._changes or not self._changes.fresh.ntotal:
            return scores, ids
        more_scores, more_ids = self._scan(self._changes.fresh, queries, k, selector, None)
        scores, ids = np.hstack([scores, more_scores]), np.hstack([ids, more_ids])
        order = np.lexsort((ids, -scores))[:, :k]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)

    def _scan(
        self, index: Any, queries: Float32Array, k: int, selector: Any, probes: int | None
    ) -> tuple[Float32Array, Int64Array]:
        """FAISS's own search; what varies from query to query goes in parameters of the form that the kind takes."""
        parameters: Any = faiss.SearchParameters() if probes is None else faiss.SearchParametersIVF()
        if probes is not None:
            parameters.nprobe = probes
        if selector is not None:
            parameters.sel = selector
        scores, ids = index.search(queries, k, params=parameters)
        return scores, ids

    def _selector(self, allowed: Int64Array | None) -> Any:
        gone = self._changes.gone if self._changes else np.empty(0, np.int64)
        if allowed is None:
            return faiss.IDSelectorNot(faiss.IDSelectorBatch(gone)) if len(gone) else None
        return inverted.selector(np.setdiff1d(allowed, gone) if len(gone) else allowed)

    def save(self, path: Path) -> None:
        """Writes the index, with its revision behind it, all or nothing. Raises `OSError` where it cannot."""
        new = path.with_name(f"{path.name}.new")
        try:
            faiss.write_index(self._changes.whole() if self._changes else self._index, str(new))
            with new.open("ab") as file:
                file.write(self.revision.to_bytes(STAMP, "little"))
                os.fsync(file.fileno())
            new.replace(path)
        except RuntimeError as error:  # what FAISS makes of a full disk
            raise OSError(f"{path} cannot be written") from error
        finally:
            new.unlink(missing_ok=True)

    @classmethod
    def open(cls, path: Path) -> VectorIndex:
        """The index that `save` wrote. Raises `ValueError` for a file that is none, `OSError` for no file.

        An inverted file is not read: its lists are mapped into memory, and a query touches those that it scans.
        """
        revision = saved_revision(path)
        if revision is None:
            raise FileNotFoundError(path)
        index = cls.__new__(cls)
        try:
            index._index = faiss.read_index(str(path), MAPPED)
        except (RuntimeError, MemoryError) as error:
            raise ValueError(f"{path} is not an index") from error
        index.revision = revision
        if MAPPED and inverted.is_ours(index._outer):
            fresh = faiss.index_factory(index.dimension, EXACT, faiss.METRIC_INNER_PRODUCT)
            index._changes = Changes(index._outer, fresh)
        return index

    # on a GPU

    def _gpu_wins(self, queries: int) -> bool:
        work = queries * len(self) * self.dimension
        return work >= GPU_WINS_FROM and self.is_exact and _gpus() > 0

    @property
    def is_exact(self) -> bool:
        """Whether it finds the nearest without fail; otherwise most of them, see `descry optimize`."""
        return isinstance(self._outer, faiss.IndexIDMap)

    @property
    def _outer(self) -> Any:
        """The index as the class that it is."""
        return faiss.downcast_index(self._index)

    @property
    def lists(self) -> int:
        """The lists of an inverted file; 1 of an exact index."""
        return 1 if self.is_exact else int(self._ivf.nlist)

    @property
    def probes(self) -> int:
        """The lists that a query scans at least."""
        return 1 if self.is_exact else int(self._ivf.nprobe)

    @probes.setter
    def probes(self, count: int) -> None:
        """For whoever tunes an index, before it is saved; no query changes it."""
        self._ivf.nprobe = count

    @property
    def _ivf(self) -> Any:
        return faiss.try_extract_index_ivf(self._index)

    @cached_property
    def _ids(self) -> Int64Array:
        """The ids in the order of their positions."""
        ids: Int64Array = faiss.vector_to_array(self._outer.id_map)
        return ids

    @cached_property
    def _gpu(self) -> Any:
        """A float16 copy of the vectors in the GPU's memory."""
        flat = faiss.GpuIndexFlatConfig()
        flat.useFloat16 = True
        self._gpu_resources = faiss.StandardGpuResources()  # must live as long as the copy
        copy = faiss.GpuIndexFlatIP(self._gpu_resources, self.dimension, flat)
        inner = self._outer.index
        for start in range(0, len(self), 1 << 18):
            copy.add(inner.reconstruct_n(start, min(1 << 18, len(self) - start)))
        return copy


def saved_revision(path: Path) -> int | None:
    """The revision of a saved index, read without opening it; None where there is no file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(-min(STAMP, path.stat().st_size), os.SEEK_END)
        return int.from_bytes(file.read(), "little")


def _gpus() -> int:
    return int(faiss.get_num_gpus())


@contextmanager
def _threads_for(queries: int) -> Iterator[None]:
    """One thread for one query: two made a scan 4-6 times slower, since they spin waiting for each other."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1 if queries == 1 else before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

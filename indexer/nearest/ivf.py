"""Inverted files: codes of the vectors in lists by the nearest of some centroids, of which a query scans the nearest.

Approximate, and many times faster than scanning all: Sivic and Zisserman, "Video Google" (2003). A code has one bit a
dimension, the sign of what is left of the rotated vector after its centroid, and two numbers that make the cosine
estimated from it unbiased: Gao and Long, "RaBitQ" (2024). The best by their codes are then ranked by the library's own
vectors, so that scores are exact. Why one bit and not two, or product quantisation: docs/performance.md.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from indexer.atomic import atomic_write
from indexer.items import Float32Array, Int64Array, Vectors, evenly_spaced
from indexer.nearest.gpu import add_to_lists, gpus_for
from indexer.nearest.ivf_parameters import FILTERED_REFINE, NPROBE, REFINE_K, nprobe_for
from indexer.nearest.prefilter import bitmap
from indexer.nearest.saved import DamagedIndex, Float16Array, MappedIVF, Sealed, behind, seal

# Vectors a list from which its centroid is learnt: FAISS warns below 39, and time grows with it.
TRAINED_ON = 64
ROUNDS = 10
SEED = 1

# Vectors that are kept in the file to stand for all: mean and median of the cosines with them are known to 3 %.
KEPT = 2048

# How files are opened: FAISS maps inverted lists into memory instead of reading them, and reads all else as ever.
# Its maps are not for Windows, where all is read.
MAPPED = 0 if os.name == "nt" else faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY

# Ids up to this many times their number are told from others by a bitmap, an eighth of a byte each; else by a set.
DENSE = 1000

# Selectors of ids that are kept, an eighth of a byte an id: that of half a million takes a millisecond to make.
SELECTORS_KEPT = 4

NONE: Int64Array = np.empty(0, np.int64)


def learn_centroids(sample: Float32Array, nlist: int) -> Float32Array:
    """Centroids `[nlist, dim]`, unit rows, of vectors `[n, dim]`: spherical k-means."""
    if len(sample) <= nlist:
        return sample[:nlist]
    means = faiss.Kmeans(
        sample.shape[1],
        nlist,
        niter=ROUNDS,
        spherical=True,
        seed=SEED,
        gpu=gpus_for(ROUNDS * min(len(sample), TRAINED_ON * nlist) * nlist * sample.shape[1]),
        min_points_per_centroid=1,
        max_points_per_centroid=TRAINED_ON,
    )
    means.train(np.ascontiguousarray(sample))
    return np.asarray(means.centroids, dtype=np.float32)


class IVF:
    """Codes of unit vectors by id, in lists around centroids, in FAISS. A question never changes it."""

    def __init__(self, index: Any, rotation: Float32Array, sample: Float16Array, *, refine_k: int) -> None:
        """`index` is FAISS's, over vectors rotated by `rotation` `[dim, dim]`; `sample` `[m, dim]` stands for all."""
        self._index: Any = index
        self._rotation = rotation
        self._sample = sample
        self.refine_k = refine_k

    @classmethod
    def empty(
        cls, centroids: Float32Array, sample: Float32Array, *, nprobe: int = NPROBE, refine_k: int = REFINE_K
    ) -> IVF:
        """One without vectors, around centroids `[nlist, dim]`."""
        rotation = rotation_of(centroids.shape[1])
        kept = sample[evenly_spaced(len(sample), KEPT)].astype(np.float16)
        return cls(_faiss_index(centroids @ rotation, nprobe), rotation, kept, refine_k=refine_k)

    @classmethod
    def opened(cls, file: Sealed) -> IVF:
        """One that was saved; all of the file is checked. Raises `DamagedIndex`."""
        file.check()
        saved = MappedIVF(file)
        try:
            index: Any = faiss.read_index(str(file.path), MAPPED)
        except (RuntimeError, MemoryError) as error:
            raise DamagedIndex(f"{file.path} is not an index") from error
        status = file.path.stat()
        if (status.st_ino, status.st_mtime_ns) != file.stamp:  # FAISS opens by the path, and there is another by now
            raise DamagedIndex(f"{file.path} has been replaced")
        lists: Any = faiss.downcast_InvertedLists(index.invlists)
        if isinstance(lists, faiss.OnDiskInvertedLists):
            # At every question FAISS lets 32 new threads touch the pages of mapped lists, which takes as long as the
            # question: 2.2 ms, 1.1 without (42 of 2048 lists of 1M x 512).
            lists.prefetch_nthread = 0
        return cls(index, np.array(saved.rotation), np.array(saved.rows), refine_k=saved.refine_k)

    @property
    def dimension(self) -> int:
        """The vectors' length."""
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def nlist(self) -> int:
        """How many lists there are."""
        return int(self._index.nlist)

    @property
    def nprobe(self) -> int:
        """The lists that a question scans at least."""
        return int(self._index.nprobe)

    @nprobe.setter
    def nprobe(self, count: int) -> None:
        """For whoever tunes an index, before it is saved; no question changes it."""
        self._index.nprobe = count

    def add(self, vectors: Vectors) -> None:
        """Adds vectors under ids that it does not hold yet; for whoever builds it."""
        add_to_lists(self._index, self._rotated(vectors.rows), vectors.ids)

    def _rotated(self, rows: Float32Array) -> Float32Array:
        return np.ascontiguousarray(rows @ self._rotation)  # (n, dim) @ (dim, dim) -> (n, dim)

    # searching

    def by_code(
        self, queries: Float32Array, refine_k: int, k: int, gone: Int64Array = NONE, allowed: Int64Array | None = None
    ) -> Int64Array:
        """The ids `[q, refine_k]` whose codes are nearest, best first, of those that are allowed and not gone.

        -1 where the lists hold fewer; they are scanned until they hold `k`.
        """
        total = len(self)
        candidates = total if allowed is None else len(allowed)
        refine_k = min(refine_k * (1 if allowed is None else FILTERED_REFINE), total)
        which = _selector_of(gone, allowed)
        rotated = self._rotated(queries)
        nprobe = nprobe_for(self.nprobe, self.nlist, k, candidates, total)
        ids = self._scan(rotated, refine_k, which, nprobe)
        if nprobe < self.nlist and (ids[:, : min(k, total - len(gone))] < 0).any():  # the nearest may hold too few
            ids = self._scan(rotated, refine_k, which, self.nlist)
        return ids

    def _scan(self, rotated: Float32Array, refine_k: int, which: Any, nprobe: int) -> Int64Array:
        """FAISS's own search; what varies from question to question goes in its parameters."""
        if not refine_k:
            return np.empty((len(rotated), 0), np.int64)
        parameters: Any = faiss.SearchParametersIVF()
        parameters.nprobe = nprobe
        if which is not None:
            parameters.sel = which
        ids: Int64Array = self._index.search(rotated, refine_k, params=parameters)[1]
        return ids

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all: up to `count` of those that were seen when the lists were made."""
        return np.asarray(self._sample[evenly_spaced(len(self._sample), count)], np.float32)

    def held(self, ids: Int64Array) -> Int64Array:
        """Which of the ids it holds; reads the ids of all vectors, 8 bytes each, and no code."""
        return np.unique(np.concatenate([ids[:0], *(ids[np.isin(ids, own)] for own in self._ids())]))

    def _ids(self) -> Iterator[Int64Array]:
        lists = self._index.invlists
        for number in range(self.nlist):
            size = lists.list_size(number)
            if size:
                pointer = lists.get_ids(number)
                yield faiss.rev_swig_ptr(pointer, size)
                lists.release_ids(number, pointer)

    # as a file

    def save(
        self, path: Path, *, revision: int, generation: str, fresh: Iterable[Vectors] = (), gone: Int64Array = NONE
    ) -> None:
        """Writes it, with what is fresh and without what is gone, sealed; all or nothing. Raises `OSError`."""
        try:
            with atomic_write(path) as new:
                faiss.write_index(self._changed(list(fresh), gone), str(new))
                with new.open("ab") as file:
                    file.write(behind(self._rotation, self._sample, self.refine_k))
                seal(new, revision=revision, generation=generation)
        except RuntimeError as error:  # what FAISS makes of a full disk
            raise OSError(f"{path} cannot be written") from error

    def _changed(self, fresh: list[Vectors], gone: Int64Array) -> Any:
        if not fresh and not len(gone):
            return self._index
        changed = _faiss_index(self._index.quantizer.reconstruct_n(0, self.nlist), self.nprobe)
        kinds: Any = faiss.InvertedLists
        self._index.copy_subset_to(changed, kinds.SUBSET_TYPE_ID_RANGE, 0, np.iinfo(np.int64).max)
        if len(gone):
            changed.remove_ids(faiss.IDSelectorBatch(gone))
        for piece in fresh:
            changed.add_with_ids(self._rotated(piece.rows), piece.ids)
        return changed


def _faiss_index(centroids: Float32Array, nprobe: int) -> Any:
    """FAISS's inverted file without vectors, around centroids in the rotated space."""
    nlist, dimension = centroids.shape
    coarse = faiss.IndexFlatIP(dimension)
    coarse.add(np.ascontiguousarray(centroids))
    index = faiss.IndexIVFRaBitQ(coarse, dimension, nlist, faiss.METRIC_INNER_PRODUCT)
    index.train(np.ascontiguousarray(centroids))  # nothing is learnt: the centroids are there, and signs are signs
    index.nprobe = min(nprobe, nlist)
    return index


def rotation_of(dimension: int) -> Float32Array:
    """A rotation `[dim, dim]` by chance, always the same: it spreads over all signs what few dimensions hold."""
    chance = np.random.default_rng(SEED).standard_normal((dimension, dimension))
    return np.ascontiguousarray(np.linalg.qr(chance)[0], dtype=np.float32)


def _selector_of(gone: Int64Array, allowed: Int64Array | None) -> Any:
    """What lets only the allowed ids through that are not gone; None if that is all of them."""
    if not len(gone):
        return None if allowed is None else selector(allowed)
    there = faiss.IDSelectorNot(faiss.IDSelectorBatch(gone))
    return there if allowed is None else faiss.IDSelectorAnd(selector(allowed), there)


def selector(ids: Int64Array) -> Any:
    """What lets only these ids through; that of an array which cannot be written to is made once."""
    known, made = _made.get(id(ids), (None, None))
    if known is not None and known() is ids:
        return made
    sparse = int(ids.max(initial=0)) > DENSE * (len(ids) + DENSE) or ids.min(initial=0) < 0
    new = faiss.IDSelectorBatch(ids) if sparse else bitmap(ids)
    if not ids.flags.writeable:
        for old in list(_made)[: len(_made) + 1 - SELECTORS_KEPT]:
            _made.pop(old, None)
        _made[id(ids)] = weakref.ref(ids), new
    return new


_made: dict[int, tuple[weakref.ref[Int64Array], Any]] = {}

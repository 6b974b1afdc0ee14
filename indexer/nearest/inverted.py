"""Inverted files: codes of the vectors in lists by the nearest of some centroids, of which a query scans the nearest.

Approximate, and many times faster than scanning all: Sivic and Zisserman, "Video Google" (2003). A code has one bit a
dimension, the sign of what is left of the rotated vector after its centroid, and two numbers that make the cosine
estimated from it unbiased: Gao and Long, "RaBitQ" (2024). That is an eighth of a byte for two bytes of the catalog's
float16; the best by their codes are then ranked by the catalog's own vectors, so that scores are exact.

Why one bit, rotated, and read again (recall@10 when so many of the best by code are ranked, all lists scanned, 256
dimensions, 300 questions of the other modality): Flickr8k's 8,090 photos asked for by sentences, 50 / 100 / 200 ranked:
0.981 / 0.996 / 0.999; its 40,462 captions asked for by photos 0.943 / 0.986 / 0.997. Two bits need half the depth,
twice the bytes and a quarter more time; product quantisation of equal bytes (64 x 4 bits) finds 0.954 / 0.987 / 0.998
in three times the time, and has to learn from vectors that are not the questions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from indexer.items import Float32Array, Int64Array, Vectors, spread
from indexer.nearest.exact import Exact, selector
from indexer.nearest.gpu import add_to_lists, gpus_for
from indexer.nearest.probing import DEEPER, DEPTH, FILTERED_DEPTH, PROBES, READ_ALL, probes_for
from indexer.nearest.ranking import nearest_stored
from indexer.nearest.saved import MAGIC
from indexer.storage.stored_vectors import StoredVectors

# Vectors a list from which its centroid is learnt: FAISS warns below 39, and time grows with it.
TRAINED_ON = 64
ROUNDS = 10
SEED = 1

# Vectors that are kept in the file to stand for all: mean and median of the cosines with them are known to 3 %.
KEPT = 2048


def learn_centroids(sample: Float32Array, lists: int) -> Float32Array:
    """Centroids `[lists, dim]`, unit rows, of vectors `[n, dim]`: spherical k-means."""
    if len(sample) <= lists:
        return sample[:lists]
    means = faiss.Kmeans(
        sample.shape[1],
        lists,
        niter=ROUNDS,
        spherical=True,
        seed=SEED,
        gpu=gpus_for(ROUNDS * min(len(sample), TRAINED_ON * lists) * lists * sample.shape[1]),
        min_points_per_centroid=1,
        max_points_per_centroid=TRAINED_ON,
    )
    means.train(np.ascontiguousarray(sample))
    return np.asarray(means.centroids, dtype=np.float32)


class Inverted:
    """Unit vectors by id; a search looks at the codes of `probes` lists and exactly at the `depth` best of them.

    The lists are filled by `add` while it is new; once it is opened from a file, which is mapped into memory and never
    changed, what comes is held exactly beside it. What goes is passed over. The next save takes both in.
    """

    def __init__(
        self, index: Any, rotation: Float32Array, sample: Float32Array, stored: StoredVectors, *, depth: int
    ) -> None:
        """`index` is FAISS's, over vectors turned by `rotation` `[dim, dim]`; `sample` `[m, dim]` stands for all."""
        self._index = index
        self._rotation = rotation
        self._sample = sample
        self._stored = stored
        self.depth = depth
        self._fresh: Exact | None = None
        self._gone: Int64Array = np.empty(0, np.int64)

    @classmethod
    def empty(
        cls,
        centroids: Float32Array,
        sample: Float32Array,
        stored: StoredVectors,
        *,
        probes: int = PROBES,
        depth: int = DEPTH,
    ) -> Inverted:
        """One without vectors, around centroids `[lists, dim]`."""
        rotation = rotation_of(centroids.shape[1])
        index = _faiss_index(centroids @ rotation, probes)
        return cls(index, rotation, sample[spread(len(sample), KEPT)], stored, depth=depth)

    @classmethod
    def opened(cls, index: Any, path: Path, stamp: int, stored: StoredVectors) -> Inverted:
        """One that was saved at `path`, with `stamp` bytes at the end that are not its own. Raises `ValueError`."""
        dimension, size = int(index.d), path.stat().st_size - stamp
        with path.open("rb") as file:
            file.seek(max(0, size - 24))
            numbers = np.frombuffer(file.read(24), "<i8")
        if len(numbers) < 3 or numbers[2].tobytes() != MAGIC:
            raise ValueError(f"{path} is not an index: its end is missing")
        depth, kept = int(numbers[0]), int(numbers[1])
        at = size - 24 - 2 * kept * dimension
        sample: Any = np.memmap(path, "<f2", "r", at, (kept, dimension)) if kept else np.empty((0, dimension))
        rotation = np.fromfile(path, "<f4", dimension**2, offset=at - 4 * dimension**2).reshape(dimension, dimension)
        lists: Any = faiss.downcast_InvertedLists(index.invlists)
        if isinstance(lists, faiss.OnDiskInvertedLists):
            # At every question FAISS lets 32 new threads touch the pages of mapped lists, which takes as long as the
            # question: 2.2 ms, 1.1 without (42 of 2048 lists of 1M x 512).
            lists.prefetch_nthread = 0
        inverted = cls(index, rotation, np.array(sample) if os.name == "nt" else sample, stored, depth=depth)
        inverted._fresh = Exact.empty(dimension)
        return inverted

    @staticmethod
    def takes(index: Any) -> bool:
        """Whether a FAISS index is of the kind that this one has inside."""
        return isinstance(index, faiss.IndexIVFRaBitQ)

    @property
    def dimension(self) -> int:
        """The vectors' length."""
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal) + len(self._fresh or ()) - len(self._gone)

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return int(self._index.nlist)

    @property
    def probes(self) -> int:
        """The lists that a query scans at least."""
        return int(self._index.nprobe)

    @probes.setter
    def probes(self, count: int) -> None:
        """For whoever tunes an index, before it is saved; no query changes it."""
        self._index.nprobe = count

    def add(self, vectors: Vectors) -> None:
        """Adds vectors under ids that it does not hold yet."""
        if self._fresh is not None:
            self._fresh.add(vectors)
        else:
            add_to_lists(self._index, self._turned(vectors.rows), vectors.ids)

    def remove(self, ids: Int64Array) -> None:
        """Takes out vectors, wherever they are; ids that are nowhere are no error."""
        if self._fresh is not None:
            self._fresh.remove(ids)
        self._gone = np.union1d(self._gone, held(self._index, ids))

    def _turned(self, rows: Float32Array) -> Float32Array:
        return np.ascontiguousarray(rows @ self._rotation)  # (n, dim) @ (dim, dim) -> (n, dim)

    # searching

    def nearest(self, queries: Float32Array, k: int, allowed: Int64Array | None) -> tuple[Float32Array, Int64Array]:
        """The `k` nearest of each query: scores and ids `[q, k]`, best first, ties by id; -1 where there are fewer."""
        if allowed is not None:
            allowed = np.setdiff1d(allowed, self._gone) if len(self._gone) else allowed
            if len(allowed) * self.dimension <= READ_ALL:
                allowed = self._stored.within(allowed)
                return ranked(queries, np.broadcast_to(allowed, (len(queries), len(allowed))), self._stored, k)
        depth = self.depth * (1 if allowed is None else FILTERED_DEPTH)
        ids = self.by_code(queries, max(depth, DEEPER * k), k, allowed)
        scores, ids = ranked(queries, ids, self._stored, k)
        if not self._fresh:
            return scores, ids
        more_scores, more_ids = self._fresh.nearest(queries, k, allowed)
        return _best(np.hstack([scores, more_scores]), np.hstack([ids, more_ids]), k)

    def by_code(self, queries: Float32Array, depth: int, k: int, allowed: Int64Array | None = None) -> Int64Array:
        """The ids `[q, depth]` whose codes are nearest, best first; -1 where the lists hold fewer."""
        total = int(self._index.ntotal)
        candidates = total if allowed is None else len(allowed)
        lets = self._lets(allowed)
        turned = self._turned(queries)
        probes = probes_for(self._index, k, candidates, total)
        ids = self._scan(turned, min(depth, total), lets, probes)
        if probes < self.lists and (ids[:, : min(k, len(self))] < 0).any():  # the nearest lists may hold too few
            ids = self._scan(turned, min(depth, total), lets, self.lists)
        return ids

    def _scan(self, turned: Float32Array, depth: int, lets: Any, probes: int) -> Int64Array:
        """FAISS's own search; what varies from query to query goes in its parameters."""
        if not depth:
            return np.empty((len(turned), 0), np.int64)
        parameters: Any = faiss.SearchParametersIVF()
        parameters.nprobe = probes
        if lets is not None:
            parameters.sel = lets
        ids: Int64Array = self._index.search(turned, depth, params=parameters)[1]
        return ids

    def _lets(self, allowed: Int64Array | None) -> Any:
        if allowed is not None:
            return selector(allowed)
        if not len(self._gone):
            return None
        return faiss.IDSelectorNot(faiss.IDSelectorBatch(self._gone))

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all: up to `count` of those that were seen when the lists were made."""
        return np.asarray(self._sample[spread(len(self._sample), count)], np.float32)

    # as a file

    def write(self, path: Path) -> None:
        """Writes a file, all but its revision. Raises `OSError`, or FAISS's `RuntimeError`."""
        faiss.write_index(self.faiss_index(), str(path))
        with path.open("ab") as file:
            file.write(self.behind())

    def faiss_index(self) -> Any:
        """What is written to the file: the lists, with what has come and without what has gone."""
        if not self._fresh and not len(self._gone):
            return self._index
        whole = _faiss_index(self._index.quantizer.reconstruct_n(0, self.lists), self.probes)
        kinds: Any = faiss.InvertedLists
        self._index.copy_subset_to(whole, kinds.SUBSET_TYPE_ID_RANGE, 0, np.iinfo(np.int64).max)
        if len(self._gone):
            whole.remove_ids(faiss.IDSelectorBatch(self._gone))
        for piece in self._fresh.pieces() if self._fresh else ():
            whole.add_with_ids(self._turned(piece.rows), piece.ids)
        return whole

    def behind(self) -> bytes:
        """What is written behind it: the rotation, the sample, and how much of it there is."""
        sample = self._sample.astype("<f2")
        numbers = np.array([self.depth, len(sample)], "<i8")
        return self._rotation.astype("<f4").tobytes() + sample.tobytes() + numbers.tobytes() + MAGIC


def _faiss_index(centroids: Float32Array, probes: int) -> Any:
    """FAISS's inverted file without vectors, around centroids in the turned space."""
    lists, dimension = centroids.shape
    coarse = faiss.IndexFlatIP(dimension)
    coarse.add(np.ascontiguousarray(centroids))
    index = faiss.IndexIVFRaBitQ(coarse, dimension, lists, faiss.METRIC_INNER_PRODUCT)
    index.train(np.ascontiguousarray(centroids))  # nothing is learnt: the centroids are there, and signs are signs
    index.nprobe = min(probes, lists)
    return index


def rotation_of(dimension: int) -> Float32Array:
    """A rotation `[dim, dim]` by chance, always the same: it spreads over all signs what few dimensions hold."""
    chance = np.random.default_rng(SEED).standard_normal((dimension, dimension))
    return np.ascontiguousarray(np.linalg.qr(chance)[0], dtype=np.float32)


def ranked(queries: Float32Array, ids: Int64Array, stored: StoredVectors, k: int) -> tuple[Float32Array, Int64Array]:
    """The `k` nearest of each query among its `ids` `[q, n]` (-1 for none) by their vectors; ties by id."""
    found = [nearest_stored(stored, own[own >= 0], query, k) for query, own in zip(queries, ids, strict=True)]
    return np.stack([scores for scores, _ in found]), np.stack([near for _, near in found])


def _best(scores: Float32Array, ids: Int64Array, k: int) -> tuple[Float32Array, Int64Array]:
    order = np.lexsort((ids, -scores))[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def held(index: Any, ids: Int64Array) -> Int64Array:
    """Which of the ids it holds; reads the ids of all vectors, 8 bytes each, and no code."""
    return np.unique(np.concatenate([ids[:0], *(ids[np.isin(ids, own)] for own in _ids(index))]))


def _ids(index: Any) -> Iterator[Int64Array]:
    lists = index.invlists
    for number in range(index.nlist):
        size = lists.list_size(number)
        if size:
            pointer = lists.get_ids(number)
            yield faiss.rev_swig_ptr(pointer, size)
            lists.release_ids(number, pointer)

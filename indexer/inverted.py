"""Inverted files: the vectors in lists by the nearest of some centroids, of which a query scans the nearest few.

Approximate, and many times faster than scanning all. Sivic and Zisserman, "Video Google" (2003). The lists hold the
catalog's float16 vectors as they are, so that scores are those of the exact index and need no second ranking.
Bytes instead save half the file and no time, and miss for ever what they round away: recall@10 at 1M x 256 in 2048
lists, 8 / 32 / 128 scanned: float16 0.979 / 0.986 / 0.991 in 0.40 / 1.2 / 4.3 ms, bytes 0.961 / 0.968 / 0.974 in 0.39 /
1.1 / 3.9 ms; 40,462 captions asked for by photos, all lists: 1.000 and 0.988.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import faiss
import numpy as np

from indexer.items import Float32Array, Int64Array

# Vectors a list from which its centroid is learnt: FAISS warns below 39, and time grows with it.
TRAINED_ON = 64
ROUNDS = 10
SEED = 1

# Vectors that are looked at for each one that is asked for; it matters where many are asked for.
LOOKED_AT = 8

# Filters leave thinner lists, and the nearest of what is left lie farther off. Measured at 1M x 256 in 2048 lists, of
# which 8 are scanned without a filter. 10,000 allowed: 512 lists find 0.905 in 2 ms, all find all in 11 ms; so few are
# looked at exactly. 100,000 allowed: 64 lists 0.977, 256 lists 0.983 in 4.3 ms; so twice what their share asks for.
FEW = 20_000
WIDER = 2

# Ids up to this many times their number are told from others by a bitmap, an eighth of a byte each; else by a set.
DENSE = 1000


@dataclass(frozen=True, slots=True)
class Choice:
    """What `descry optimize` has chosen for a modality, and from what: `recall` was measured, `wished` was asked for.

    `checksum` is the encoder's: with another one's vectors nothing of it holds.
    """

    lists: int
    probes: int
    recall: float
    wished: float
    vectors: int
    checksum: str

    def as_json(self) -> str:
        """As the catalog's meta keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Choice:
        """What `as_json` wrote. Raises `ValueError` or `TypeError` for anything else."""
        return cls(**json.loads(text))


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
        min_points_per_centroid=1,
        max_points_per_centroid=TRAINED_ON,
    )
    means.train(np.ascontiguousarray(sample))
    return np.asarray(means.centroids, dtype=np.float32)


def empty(centroids: Float32Array, *, probes: int) -> Any:
    """A FAISS inverted file without vectors, of which a query scans `probes` lists."""
    lists, dimension = centroids.shape
    coarse = faiss.IndexFlatIP(dimension)
    coarse.add(np.ascontiguousarray(centroids))
    half = faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexIVFScalarQuantizer(coarse, dimension, lists, half, faiss.METRIC_INNER_PRODUCT, False)
    index.train(centroids)  # nothing is learnt: the centroids are there, and float16 is float16
    index.nprobe = min(probes, lists)
    return index


def writable(index: Any) -> Any:
    """A copy in memory of an inverted file of `empty`'s kind, which may be a memory map."""
    copy = empty(index.quantizer.reconstruct_n(0, index.nlist), probes=index.nprobe)
    kinds: Any = faiss.InvertedLists
    index.copy_subset_to(copy, kinds.SUBSET_TYPE_ID_RANGE, 0, np.iinfo(np.int64).max)
    return copy


def is_ours(index: Any) -> bool:
    """Whether an inverted file is of `empty`'s kind."""
    return (
        isinstance(index, faiss.IndexIVFScalarQuantizer)
        and index.sq.qtype == faiss.ScalarQuantizer.QT_fp16
        and not index.by_residual
    )


def probes_for(index: Any, k: int, candidates: int, total: int) -> int:
    """How many lists to scan for the `k` nearest of `candidates` allowed vectors out of `total`.

    With a filter as many as hold, on average, `WIDER` times the number of allowed vectors that a search without one
    looks at, and some for each one that is asked for. For `FEW` allowed ones these are all lists: that is exact.
    """
    filtered = candidates < total
    if filtered and candidates <= FEW:
        return int(index.nlist)
    widened = WIDER * index.nprobe * total / candidates if filtered else index.nprobe
    deep = LOOKED_AT * k * index.nlist / max(1, candidates)
    return int(min(index.nlist, max(index.nprobe, np.ceil(max(widened, deep)))))


def rows_at(index: Any, places: Int64Array) -> Float32Array:
    """The vectors `[m, dim]` at places in the order of the lists."""
    sizes = np.array([index.invlists.list_size(number) for number in range(index.nlist)])
    ends = np.cumsum(sizes)
    rows = np.empty((len(places), index.d), np.float32)
    for row, place in zip(rows, places, strict=True):
        number = int(np.searchsorted(ends, place, side="right"))
        index.reconstruct_from_offset(number, int(place - ends[number] + sizes[number]), faiss.swig_ptr(row))
    return rows


def held(index: Any, ids: Int64Array) -> Int64Array:
    """Which of the ids it holds; reads the ids of all vectors, 8 bytes each, and no vector."""
    return np.unique(np.concatenate([ids[:0], *(ids[np.isin(ids, own)] for own in _ids(index))]))


def _ids(index: Any) -> Iterator[Int64Array]:
    lists = index.invlists
    for number in range(index.nlist):
        size = lists.list_size(number)
        if size:
            pointer = lists.get_ids(number)
            yield faiss.rev_swig_ptr(pointer, size)
            lists.release_ids(number, pointer)


def selector(ids: Int64Array) -> Any:
    """What lets only these ids through. A bitmap is asked in a nanosecond, a set in ten."""
    last = int(ids.max(initial=0))
    if last > DENSE * (len(ids) + DENSE) or ids.min(initial=0) < 0:
        return faiss.IDSelectorBatch(ids)
    there = np.zeros(last // 8 * 8 + 8, dtype=bool)
    there[ids] = True
    bitmap: Any = faiss.IDSelectorBitmap
    return bitmap(np.packbits(there, bitorder="little"))


class Changes:
    """What has come and gone since an inverted file was written: it is opened by memory map and never changed.

    What has come is searched exactly beside it, what has gone is passed over, and the next save takes both over.
    """

    def __init__(self, index: Any, fresh: Any) -> None:
        """`index` is the inverted file, `fresh` an empty exact index for what comes."""
        self._index = index
        self.fresh = fresh
        self.gone: Int64Array = np.empty(0, np.int64)

    def remove(self, ids: Int64Array) -> None:
        """Takes out ids, wherever they are; those that are nowhere are no error."""
        self.fresh.remove_ids(faiss.IDSelectorBatch(ids))
        self.gone = np.union1d(self.gone, held(self._index, ids))

    @property
    def balance(self) -> int:
        """By how many vectors the whole is larger than the inverted file."""
        return int(self.fresh.ntotal) - len(self.gone)

    def whole(self) -> Any:
        """The inverted file with the changes in it, in memory."""
        index = writable(self._index)
        if len(self.gone):
            index.remove_ids(faiss.IDSelectorBatch(self.gone))
        fresh: Any = faiss.downcast_index(self.fresh)
        if fresh.ntotal:
            rows = fresh.index.reconstruct_n(0, fresh.ntotal)
            index.add_with_ids(rows, faiss.vector_to_array(fresh.id_map))
        return index

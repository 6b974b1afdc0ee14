"""Photos that may be one picture, looked at: which of them are, by their vectors and their perceptual hashes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.items import Int64Array, Item
from indexer.report import Watcher
from indexer.storage.catalog import Catalog
from search.organise.grouping import grouped, positions
from search.organise.hashes import HASHES, Hashes, distances, hash_all
from search.organise.standing import standing

# Pairs whose hashes are compared at once: they take a kilobyte each.
AT_ONCE = 10_000

May = Callable[[Item, Item], bool]


class Likeness(NamedTuple):
    """How alike two photos have to look: the least cosine of their vectors, and the most bits of 144 that differ."""

    cosine: float
    bits: int


def like_groups(
    catalog: Catalog, pairs: Int64Array, least: Likeness, watcher: Watcher, *, may: May = lambda _one, _other: True
) -> list[list[Item]]:
    """Groups of two and more photos that look alike, the best in front, from pairs `[n, 2]` of ids that may.

    All of a group look like its best, and `may` allows it. The photos are read for that, as far as they are on disk.
    Their hashes are not kept, nor made when photos are indexed: they take 7 ms of a core for 224 x 224 pixels and 19 ms
    for 12 megapixels, where embedding takes 12; everybody would pay for what few ask.
    """
    suspects, hashes = _hashed(standing(catalog, np.unique(pairs).tolist()), watcher)
    ids = np.array([item.id for item in suspects], np.int64)
    vectors = catalog.vectors(ids.tolist()).rows

    def alike(one: Int64Array | int, others: Int64Array) -> npt.NDArray[np.bool_]:
        near = (vectors[others] * vectors[one]).sum(axis=-1) >= least.cosine
        looks = near & (distances(hashes[one], hashes[others]) <= least.bits)
        ones = np.broadcast_to(one, others.shape)
        for place in np.flatnonzero(looks):  # few: what is asked in Python is asked last
            looks[place] = may(suspects[ones[place]], suspects[others[place]])
        return np.asarray(looks)

    pairs = positions(ids, pairs)
    pairs = np.concatenate([part[alike(*part.T)] for part in np.array_split(pairs, 1 + len(pairs) // AT_ONCE)])
    return [[suspects[position] for position in group] for group in grouped(pairs, len(ids), alike)]


def _hashed(items: Sequence[Item], watcher: Watcher) -> tuple[list[Item], Hashes]:
    """The items whose photos can be read, and their hashes `[n, 1 + crops, bytes]`."""
    hashes = []
    if items:
        watcher.begin(len(items))
        try:
            for hashed in hash_all([item.path for item in items]):
                hashes.append(hashed)
                watcher.advance(1)
        finally:
            watcher.end()
    read = [(item, hashed) for item, hashed in zip(items, hashes, strict=True) if hashed is not None]
    return [item for item, _ in read], np.array([hashed for _, hashed in read], np.uint8).reshape(-1, *HASHES)

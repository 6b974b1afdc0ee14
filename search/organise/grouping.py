"""Pairs made groups: connected, and yet each member like the group's best, so that likeness does not wander off."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from indexer.items import Int64Array

# Which of some positions are the same as one.
Same = Callable[[int, Int64Array], npt.NDArray[np.bool_]]


def grouped(pairs: Int64Array, count: int, same: Same) -> list[Int64Array]:
    """Groups of two and more of the positions below `count`, of which the lower are the better, the best in front.

    The connected components of `pairs` `[n, 2]`, each taken apart by its best: with it stay those that are the `same`
    as it, and the rest is grouped likewise. Without that, A like B like C ... would make one group of half a library.
    """
    return [group for component in _components(pairs, count) for group in _stars(component, same)]


def _components(pairs: Int64Array, count: int) -> list[Int64Array]:
    """The components of two and more, each in ascending order."""
    ones = np.ones(len(pairs), dtype=bool)
    _, labels = connected_components(
        coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count)), directed=False
    )
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return [part for part in parts if len(part) > 1]


def _stars(component: Int64Array, same: Same) -> Iterator[Int64Array]:
    left = component
    while len(left) > 1:
        best, others = int(left[0]), left[1:]
        with_it = same(best, others)
        if with_it.any():
            yield np.concatenate([left[:1], others[with_it]])
        left = others[~with_it]


def positions(ids: Int64Array, pairs: Int64Array) -> Int64Array:
    """Pairs of ids as pairs of their positions in `ids`; pairs of which one is not there are left out."""
    pairs = pairs[np.isin(pairs, ids).all(axis=1)]
    order = np.argsort(ids)
    return order[np.searchsorted(ids, pairs, sorter=order)]

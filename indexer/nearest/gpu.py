"""FAISS on a GPU, where there is one and the work is worth waking it: for building indexes and for many questions.

A processor gives the same answers but for rounding, and takes over where a GPU's memory does not suffice. FAISS's
GPU indexes are not for several threads at once, not even to be read, so that all of them take turns here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from threading import Lock
from typing import Any

import faiss
import numpy as np
from faiss.contrib.ivf_tools import add_preassigned

from indexer.items import Float32Array, Int64Array

# Multiply-adds of one call from which a GPU is woken, which takes about as long as two cores take for them, and those
# from which one that is awake is asked: then only what is multiplied has to get there. Estimates until measured: no
# GPU was at hand.
WINS_FROM, WINS_AWAKE_FROM = 5e10, 1e9

# The most neighbours that FAISS's kernels select.
MOST = 2048

_turn = Lock()


def wins(multiply_adds: float) -> bool:
    """Whether there is a GPU, and so much to multiply that it is done there first."""
    is_awake = _resources.cache_info().currsize > 0
    return multiply_adds >= (WINS_AWAKE_FROM if is_awake else WINS_FROM) and int(faiss.get_num_gpus()) > 0


def gpus_for(multiply_adds: float) -> int:
    """How many GPUs should share in so much work, all or none; they are awake then."""
    if not wins(multiply_adds):
        return 0
    try:
        _resources()
    except RuntimeError:  # something else has taken its memory
        return 0
    return int(faiss.get_num_gpus())


def copied(pieces: Iterable[Float32Array], dimension: int, *, half: bool) -> Any:
    """A copy of rows that come in pieces `[n, dim]`, in float16 if `half`; None if the GPU has no room for it."""
    try:
        with _turn:
            index = _flat(dimension, half=half)
            for rows in pieces:
                index.add(np.ascontiguousarray(rows, np.float32))
    except RuntimeError:  # what FAISS raises when memory is short, among others
        return None
    return index


def _flat(dimension: int, *, half: bool) -> Any:
    options = faiss.GpuIndexFlatConfig()
    options.useFloat16 = half
    return faiss.GpuIndexFlatIP(_resources(), dimension, options)


def nearest(copy: Any, queries: Float32Array, k: int) -> Int64Array:
    """The places `[q, k]` of the `k` rows of a copy, at most `MOST`, with the greatest products with each query."""
    with _turn:
        places: Int64Array = copy.search(np.ascontiguousarray(queries, np.float32), k)[1]
    return places


@cache
def _resources() -> Any:
    """What FAISS needs on a GPU; it must live as long as what is there."""
    return faiss.StandardGpuResources()


def add_to_lists(index: Any, rows: Float32Array, ids: Int64Array) -> None:
    """Adds rows `[n, dim]` under ids to an inverted file, whose lists a GPU finds for many rows at once."""
    lists, dimension = int(index.nlist), int(index.d)
    centroids = None
    if wins(len(rows) * lists * dimension):
        centroids = copied([index.quantizer.reconstruct_n(0, lists)], dimension, half=False)
    if centroids is None:
        index.add_with_ids(rows, ids)
        return
    lists_of = nearest(centroids, rows, 1)[:, 0]  # (n, 1) -> (n,)
    add_preassigned(index, rows, np.ascontiguousarray(lists_of), ids)  # type: ignore[no-untyped-call]

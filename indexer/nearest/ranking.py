"""The nearest of some vectors to a question by exact cosines: the last step of every search."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from indexer.items import Float32Array, Int64Array
from indexer.storage.stored_vectors import StoredVectors, is_sound

# Vectors that are multiplied at once: 1 MB at 512 dimensions, which stays in the cache. 10,000 of them in blocks of
# 512 / 1024 / 4096: 6.0 / 8.0 / 8.7 ms.
BLOCK = 512


def best(scores: Float32Array, ids: Int64Array, k: int) -> tuple[Float32Array, Int64Array]:
    """The `k` greatest of scores `[n]` with their ids, best first, ties by id; -inf and -1 where there are fewer."""
    if len(scores) > k:
        near = scores >= np.partition(scores, -k)[-k]
        scores, ids = scores[near], ids[near]
    order = np.lexsort((ids, -scores))[:k]
    best_scores, best_ids = np.full(k, -np.inf, np.float32), np.full(k, -1, np.int64)
    # rounding may lengthen a vector by a ten-thousandth
    best_scores[: len(order)] = np.minimum(np.maximum(scores[order], -1), 1)
    best_ids[: len(order)] = ids[order]
    return best_scores, best_ids


def nearest_stored(
    stored: StoredVectors, ids: Int64Array, query: Float32Array, k: int
) -> tuple[Float32Array, Int64Array]:
    """The `k` nearest of ids `[n]` to a query `[dim]` by their stored vectors: as `best` gives them.

    Damaged vectors are left out; reading them says so.
    """
    near = stored.may_be_nearest(query, ids, k)
    rows = stored.read(near)
    if not (sound := is_sound(rows)).all():
        return nearest_stored(stored, np.setdiff1d(ids, near[~sound]), query, k)
    return best(cosines(rows, query), near, k)


def cosines(rows: npt.NDArray[np.floating], query: Float32Array) -> Float32Array:
    """The scores `[n]` of rows `[n, dim]`, each by itself, so that equal vectors have equal ones."""
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        scores[start : start + BLOCK] = np.vecdot(rows[start : start + BLOCK].astype(np.float32, copy=False), query)
    return scores

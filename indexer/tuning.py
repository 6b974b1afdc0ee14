"""Which kind of index a modality of a library is best served by, found out with its own vectors and real questions.

Questions and vectors of a photo index do not lie in one place (sentences ask for photos): what is chosen by photos
alone misses what sentences look for, so that recall is measured with questions as they will be asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from indexer.catalog import Catalog
from indexer.inverted import TRAINED_ON, Choice, learn_centroids
from indexer.items import Float32Array, Int64Array, Vectors
from indexer.vectors import VectorIndex

# The first so many answers are what recall is measured by.
K = 10

# Numbers in the vectors, count times dimension, up to which the exact index is best: an approximate one would save
# less than a sentence takes to embed. Measured on a busy core: 8,090 x 256 in 0.32 ms, 40,462 x 256 in 3.3 ms,
# 1M x 256 in 64 ms; on an idle one 1M x 512 in 45 ms. 2 ms are between 8 and 20 millions.
EXACT_IS_QUICK = 10e6

# Lists by the root of the number of vectors: 2048 at a million.
LISTS_BY_ROOT = 2

# An approximate index that has to scan a larger share of its lists saves too little for what it misses.
WORTH_IT = 0.5

# Questions whose time is taken.
TIMED = 30


@dataclass(frozen=True, slots=True)
class Verdict:
    """What serves a modality best. `exact` and `milliseconds` are those of a question, by all and by the `tried` index.

    `tried` is None where the vectors are too few to try an approximate index.
    """

    modality: str
    vectors: int
    wished: float
    exact: float
    tried: Choice | None = None
    pays: bool = False
    milliseconds: float = 0.0

    @property
    def choice(self) -> Choice | None:
        """The approximate index to use; None for the exact one."""
        return self.tried if self.pays else None


def nearest(vectors: Iterable[Vectors], questions: Float32Array, k: int) -> Int64Array:
    """The ids `[q, k]` of the nearest by brute force, best first, in the memory of one piece of the vectors at a time.

    -1 where there are fewer.
    """
    scores = np.full((len(questions), k), -np.inf, np.float32)
    ids = np.full((len(questions), k), -1, np.int64)
    for piece in vectors:
        near, places = _best(questions @ piece.rows.T, k)  # (q, dim) @ (dim, n) -> (q, n)
        scores, order = _best(np.hstack([scores, near]), k)
        ids = np.take_along_axis(np.hstack([ids, piece.ids[places]]), order, 1)
    return ids


def _best(scores: Float32Array, k: int) -> tuple[Float32Array, Int64Array]:
    """The `k` greatest of each row of `[q, n]`, the greatest first, and their places."""
    places = np.argpartition(-scores, min(k, scores.shape[1] - 1), axis=1)[:, :k]
    best = np.take_along_axis(scores, places, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(best, order, 1), np.take_along_axis(places, order, 1)


def recall_of(found: Int64Array, truth: Int64Array) -> float:
    """The share of the true ids `[q, k]` that are among those found."""
    hits = sum(len(set(row[row >= 0]) & set(true)) for row, true in zip(found, truth, strict=True))
    return hits / max(1, int((truth >= 0).sum()))


def lists_for(count: int) -> int:
    """How many lists for so many vectors: a power of two near twice their root."""
    return int(2 ** max(2, round(np.log2(LISTS_BY_ROOT * np.sqrt(max(1, count))))))


def build(catalog: Catalog, modality: str, *, lists: int, probes: int) -> VectorIndex:
    """An inverted file of all vectors of a modality: learnt from a sample, then filled piece by piece."""
    ids = np.sort(catalog.ids(modality, "TRUE"))
    places = np.linspace(0, len(ids) - 1, min(len(ids), TRAINED_ON * lists), dtype=np.int64)
    centroids = learn_centroids(catalog.vectors(ids[places].tolist()).rows, lists)
    index = VectorIndex.approximate(centroids, probes=probes, revision=catalog.revision)
    for piece in catalog.vectors_since(modality, -1):
        index.add(piece)
    return index


def tune(catalog: Catalog, modality: str, questions: Float32Array, *, wished: float) -> tuple[Verdict, VectorIndex]:
    """The best kind for a wished recall of the first ten, and the index of that kind, filled.

    `questions` `[q, dim]` are unit rows; every second one chooses, the others tell what the choice is worth.
    Up to `EXACT_IS_QUICK` numbers the exact index is taken without trying another.
    """
    exact, count = VectorIndex(questions.shape[1], revision=catalog.revision), 0
    for piece in catalog.vectors_since(modality, -1):
        exact.add(piece)
        count += len(piece)
    verdict = Verdict(modality, count, wished, _milliseconds(exact, questions))
    if count * exact.dimension <= EXACT_IS_QUICK or count <= K:
        return verdict, exact
    index = build(catalog, modality, lists=lists_for(count), probes=1)
    truth = nearest(catalog.vectors_since(modality, -1), questions, K)
    index.probes = fewest_probes(index, questions[::2], truth[::2], wished)
    recall = recall_of(index.search(questions[1::2], K)[1], truth[1::2])
    pays = index.probes < WORTH_IT * index.lists
    checksum = str(catalog.meta()["checksum"])
    choice = Choice(index.lists, index.probes, recall, wished, count, checksum)
    tried = replace(verdict, tried=choice, pays=pays, milliseconds=_milliseconds(index, questions))
    return tried, index if pays else exact


def fewest_probes(index: VectorIndex, questions: Float32Array, truth: Int64Array, wished: float) -> int:
    """The fewest lists to scan for the wished recall of `truth` `[q, k]`, by bisection; all where none suffice.

    The index is left with what was tried last.
    """
    low, high = 1, index.lists
    while low < high:
        index.probes = (low + high) // 2
        if recall_of(index.search(questions, truth.shape[1])[1], truth) >= wished:
            high = index.probes
        else:
            low = index.probes + 1
    return low


def _milliseconds(index: VectorIndex, questions: Float32Array) -> float:
    """The median processor time of one question, which one thread answers; other programs do not change it."""
    times = []
    for question in questions[:TIMED]:
        began = time.thread_time()
        index.search(question[np.newaxis], K)
        times.append(time.thread_time() - began)
    return 1000 * float(np.median(times)) if times else 0.0

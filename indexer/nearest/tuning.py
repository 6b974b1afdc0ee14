"""Which kind of index a modality of a library is best served by, found out with its own vectors and real questions.

Questions and vectors of a photo index do not lie in one place (sentences ask for photos): what is chosen by photos
alone misses what sentences look for, so that recall is measured with questions as they will be asked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from indexer.items import Float32Array, Int64Array, Vectors
from indexer.nearest.index import VectorIndex
from indexer.nearest.inverted import TRAINED_ON, Inverted, learn_centroids
from indexer.nearest.probing import DEPTH, PROBES, Choice
from indexer.storage.catalog import Catalog

# The first so many answers are what recall is measured by.
K = 10

# Numbers in the vectors, count times dimension, up to which the exact index is best: an approximate one would save
# less than a sentence takes to embed. Measured on a busy core: 8,090 x 256 in 0.32 ms, 40,462 x 256 in 3.3 ms,
# 1M x 256 in 64 ms; on an idle one 1M x 512 in 45 ms. 2 ms are between 8 and 20 millions.
EXACT_IS_QUICK = 10e6

# Questions that are asked at once by brute force: what a piece of the vectors says of them takes 40 MB.
AT_ONCE = 500

# Lists by the root of the number of vectors: 2048 at a million.
LISTS_BY_ROOT = 2

# An approximate index that has to scan a larger share of its lists saves too little for what it misses.
WORTH_IT = 0.5

# How many of the best by code may be looked at, and what each costs, in codes: it is read in 0.6 microseconds, while a
# code is scanned in 0.036 (1M x 256). Then of 1M x 256 resampled from real photos, in 2048 lists, the cheapest for 0.98
# are 600 of 36 lists, in 1.7 ms; when reading took 3.6 microseconds they were 300 of 48, in 3.5. Of three million in
# tight clusters 1,600 hold too few of the nearest, of ten million 6,400.
DEPTHS = (20, 50, 100, 150, 200, 300, 400, 600, 800, *(step << power for power in range(7) for step in (1200, 1600)))
READ_COSTS = 16

# By how many standard errors the questions that choose have to find more than is wished: what just does for them finds
# less for others. How often it finds 0.98 for 1,500 others, of 200 times, and at what cost: with 250 questions that
# choose and 0 / 1 / 1.5 / 2 errors 44 / 72 / 86 / 92 % at 1 / 1.16 / 1.27 / 1.35 times the cost, with 500 questions
# 53 / 82 / 92 / 94 % at 1.04 / 1.15 / 1.22 / 1.27 (1M x 512 made of 27,000 photos, asked for by captions).
SURE = 2.0

# Questions that tell how deep is deep enough: each scans all lists.
DEEP_QUESTIONS = 50

# Each try scans so many times the lists of the one before: what is chosen costs at most a tenth too much.
STRIDE = 1.1

# Questions whose time is taken, and the vectors of which an exact index takes it: more than a cache holds.
TIMED = 30
TIMED_VECTORS = 1 << 17

Passing = Callable[[Iterable[Vectors]], Iterator[Vectors]]


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


class Truth:
    """The ids `[q, k]` of the nearest by brute force, best first, -1 where there are fewer; it grows piece by piece."""

    def __init__(self, questions: Float32Array, k: int) -> None:
        self._questions = questions
        self._k = k
        self._scores = np.full((len(questions), k), -np.inf, np.float32)
        self.ids = np.full((len(questions), k), -1, np.int64)

    def see(self, piece: Vectors) -> None:
        """Takes into account what is nearest among these."""
        for start in range(0, len(self.ids) if len(piece) else 0, AT_ONCE):
            some = slice(start, start + AT_ONCE)
            near, places = _best(self._questions[some] @ piece.rows.T, self._k)  # (q, dim) @ (dim, n) -> (q, n)
            self._scores[some], order = _best(np.hstack([self._scores[some], near]), self._k)
            self.ids[some] = np.take_along_axis(np.hstack([self.ids[some], piece.ids[places]]), order, 1)

    def passing(self, vectors: Iterable[Vectors]) -> Iterator[Vectors]:
        """The same vectors, seen on their way, in the memory of one piece at a time."""
        for piece in vectors:
            self.see(piece)
            yield piece


def nearest(vectors: Iterable[Vectors], questions: Float32Array, k: int) -> Int64Array:
    """The ids `[q, k]` of the nearest by brute force, see `Truth`."""
    truth = Truth(questions, k)
    for _ in truth.passing(vectors):
        pass
    return truth.ids


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


def build(
    catalog: Catalog, modality: str, *, lists: int, probes: int = PROBES, depth: int = DEPTH, passing: Passing = iter
) -> Inverted:
    """An inverted file of all vectors of a modality: learnt from a sample, then filled piece by piece.

    `passing` sees the pieces on their way, so that they are read once.
    """
    sample = catalog.some_vectors(modality, TRAINED_ON * lists).rows
    index = Inverted.empty(learn_centroids(sample, lists), sample, catalog.stored, probes=probes, depth=depth)
    for piece in passing(catalog.vectors_since(modality, -1)):
        index.add(piece)
    return index


def tune(catalog: Catalog, modality: str, questions: Float32Array, *, wished: float) -> tuple[Verdict, VectorIndex]:
    """The best kind for a wished recall of the first ten, and the index of that kind, filled.

    `questions` `[q, dim]` are unit rows; every second one chooses, the others tell what the choice is worth.
    Up to `EXACT_IS_QUICK` numbers the exact index is taken without trying another. An exact one of more is not made
    to take its time: that of a part tells it.
    """
    count = catalog.count(modality)
    verdict = Verdict(modality, count, wished, exact_milliseconds(catalog, modality, count, questions))
    if count * questions.shape[1] <= EXACT_IS_QUICK or count <= K:
        return verdict, _exact(catalog, modality)
    truth = Truth(questions, K)
    inverted = build(catalog, modality, lists=lists_for(count), passing=truth.passing)
    choose(inverted, questions[::2], truth.ids[::2], wished)
    index = VectorIndex.approximate(inverted, revision=catalog.revision)
    recall = recall_of(index.search(questions[1::2], K)[1], truth.ids[1::2])
    pays = index.probes < WORTH_IT * index.lists
    checksum = str(catalog.meta()["checksum"])
    choice = Choice(index.lists, index.probes, recall, wished, count, checksum, index.depth)
    tried = replace(verdict, tried=choice, pays=pays, milliseconds=_milliseconds(index, questions))
    return tried, index if pays else _exact(catalog, modality)


def choose(index: Inverted, questions: Float32Array, truth: Int64Array, wished: float) -> None:
    """Gives the index the depth and the lists that reach the wished recall of `truth` `[q, k]`, surely, at least cost.

    What is among the best by code is found, since the second ranking is exact: for so many lists one search tells the
    recall of every depth. More lists are tried until they alone cost more than the best choice so far. Where none up to
    `WORTH_IT` reaches it: all lists, the deepest.
    """
    index.depth, index.probes = DEPTHS[-1], index.lists
    some = questions[:DEEP_QUESTIONS], truth[:DEEP_QUESTIONS]
    among_all = index.by_code(some[0], DEPTHS[-1], truth.shape[1])
    if _enough(among_all, some[1], wished) is None:
        return
    # among fewer lists nothing ranks lower, but some of the nearest are not there: others have to make up for them
    deepest = _enough(among_all, some[1], (1 + wished) / 2) or DEPTHS[-1]
    best, chosen = math.inf, (index.depth, index.probes)
    for probes in _more_and_more(index.lists):
        scanned = len(index) * probes / index.lists
        if scanned >= best:
            break
        index.probes = probes
        enough = _enough(index.by_code(questions, deepest, truth.shape[1]), truth, wished, errors=SURE)
        if enough is not None and scanned + READ_COSTS * enough < best:
            best, chosen = scanned + READ_COSTS * enough, (enough, probes)
    index.depth, index.probes = chosen


def _more_and_more(lists: int) -> Iterator[int]:
    """One list, and so on in `STRIDE`s up to the share that is worth it."""
    probes = 1
    while probes < WORTH_IT * lists:
        yield probes
        probes = max(probes + 1, round(STRIDE * probes))


def _enough(found: Int64Array, truth: Int64Array, wished: float, *, errors: float = 0.0) -> int | None:
    """The least of `DEPTHS` at which `found` `[q, n]`, the best first, has the wished share of `truth` `[q, k]`.

    By so many standard errors of the questions' mean more than wished.
    """
    places = np.full(truth.shape, np.inf)  # where the true ones are found, in no order
    for own, row, true in zip(places, found, truth, strict=True):
        at = np.flatnonzero(np.isin(row, true[true >= 0]))
        own[: len(at)] = at
    hits = (places < np.array(DEPTHS)[:, np.newaxis, np.newaxis]).sum(axis=2)
    recalls = hits / np.maximum(1, (truth >= 0).sum(axis=1))  # [depths, q]
    surely = recalls.mean(axis=1) - errors * recalls.std(axis=1) / np.sqrt(len(truth))
    return next((depth for depth, recall in zip(DEPTHS, surely.tolist(), strict=True) if recall >= wished), None)


def _exact(catalog: Catalog, modality: str, at_most: int | None = None) -> VectorIndex:
    """An exact index of all vectors of a modality, or of so many."""
    index = VectorIndex(int(catalog.meta()["dimension"]), revision=catalog.revision)
    for piece in catalog.vectors_since(modality, -1):
        index.add(piece)
        if at_most is not None and len(index) >= at_most:
            break
    return index


def exact_milliseconds(catalog: Catalog, modality: str, count: int, questions: Float32Array) -> float:
    """The time of a question to all vectors of a modality, `count`, by that to a part of them."""
    part = _exact(catalog, modality, at_most=TIMED_VECTORS)
    return _milliseconds(part, questions) * max(1.0, count / max(1, len(part)))


def _milliseconds(index: VectorIndex, questions: Float32Array) -> float:
    """The median processor time of one question, in however many threads; other programs do not change it."""
    times = []
    for question in questions[:TIMED]:
        began = time.process_time()
        index.search(question[np.newaxis], K)
        times.append(time.process_time() - began)
    return 1000 * float(np.median(times)) if times else 0.0

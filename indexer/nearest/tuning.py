"""Which kind of index a modality of a library is best served by, found out with its own vectors and real questions.

Questions and vectors of a photo index do not lie in one place (sentences ask for photos): what is chosen by photos
alone misses what sentences look for, so that recall is measured with questions as they will be asked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from indexer.items import Float32Array, Int64Array
from indexer.nearest.index import VectorIndex
from indexer.nearest.ivf import IVF, TRAINED_ON, learn_centroids
from indexer.nearest.ivf_parameters import NPROBE, REFINE_K, IVFParameters
from indexer.storage.catalog import Catalog

# The first so many answers are what recall is measured by.
K = 10

# Numbers in the vectors, count times dimension, up to which the exact index is best: it takes 2 ms, and an approximate
# one would save less than a sentence takes to embed.
EXACT_IS_QUICK = 10e6

# Lists by the root of the number of vectors: 2048 at a million.
NLIST_BY_ROOT = 2

# An approximate index that has to scan a larger share of its lists saves too little for what it misses.
WORTH_IT = 0.5

# How many of the best by code may be looked at, and what each costs, in codes: it is read in 0.6 microseconds, while a
# code is scanned in 0.036 (1M x 256). Of three million in tight clusters 1,600 hold too few of the nearest, of ten
# million 6,400.
REFINE_KS = (20, 50, 100, 150, 200, 300, 400, 600, 800, *(step << power for power in range(7) for step in (1200, 1600)))
READ_COSTS = 16

# By how many standard errors the questions that choose have to find more than is wished: what just does for them finds
# less for others. With 500 that choose and 0 / 1 / 2 errors 53 / 82 / 94 of 100 choices find 0.98 for 1,500 others, at
# 1.04 / 1.15 / 1.27 times the cost (1M x 512 made of 27,000 photos).
SURE = 2.0

# Questions that tell how deep is deep enough: each scans all lists.
ALL_LISTS_QUESTIONS = 50

# Each try scans so many times the lists of the one before: what is chosen costs at most a tenth too much.
STRIDE = 1.1

# Questions whose time is taken, and the vectors of which an exact index takes it: more than a cache holds.
TIMED = 30
TIMED_VECTORS = 1 << 17


@dataclass(frozen=True, slots=True)
class TuningResult:
    """What serves a modality best. `exact` and `milliseconds` are those of a question, exactly and by the `tried` one.

    `tried` is None where the vectors are too few to try an inverted file.
    """

    modality: str
    vectors: int
    target: float
    exact: float
    tried: IVFParameters | None = None
    pays: bool = False
    milliseconds: float = 0.0

    @property
    def chosen(self) -> IVFParameters | None:
        """The inverted file to use; None for exact search."""
        return self.tried if self.pays else None


def recall_of(found: Int64Array, truth: Int64Array) -> float:
    """The share of the true ids `[q, k]` that are among those found."""
    hits = sum(len(set(row[row >= 0]) & set(true)) for row, true in zip(found, truth, strict=True))
    return hits / max(1, int((truth >= 0).sum()))


def nlist_for(count: int) -> int:
    """How many lists for so many vectors: a power of two near twice their root."""
    return int(2 ** max(2, round(np.log2(NLIST_BY_ROOT * np.sqrt(max(1, count))))))


def build(catalog: Catalog, modality: str, *, nlist: int, nprobe: int = NPROBE, refine_k: int = REFINE_K) -> IVF:
    """An inverted file of all vectors of a modality: learnt from a sample, then filled piece by piece."""
    sample = catalog.some_vectors(modality, TRAINED_ON * nlist).rows
    ivf = IVF.empty(learn_centroids(sample, nlist), sample, nprobe=nprobe, refine_k=refine_k)
    for piece in catalog.vectors_since(modality, -1):
        ivf.add(piece)
    return ivf


def tune(
    catalog: Catalog, modality: str, questions: Float32Array, *, target: float
) -> tuple[TuningResult, VectorIndex]:
    """The best kind for a target recall of the first ten, and the index of that kind, filled.

    `questions` `[q, dim]` are unit rows; every second one chooses, the others tell what the choice is worth.
    Up to `EXACT_IS_QUICK` numbers exact search is taken without trying an inverted file.
    """
    ids = catalog.vector_ids(modality)
    exact = VectorIndex(catalog.stored, ids, revision=catalog.revision)
    result = TuningResult(modality, len(ids), target, exact_milliseconds(catalog, ids, questions))
    if len(ids) * questions.shape[1] <= EXACT_IS_QUICK or len(ids) <= K:
        return result, exact
    truth = exact.search(questions, K)[1]
    ivf = build(catalog, modality, nlist=nlist_for(len(ids)))
    choose(ivf, questions[::2], truth[::2], target)
    index = VectorIndex(catalog.stored, ivf=ivf, revision=catalog.revision)
    recall = recall_of(index.search(questions[1::2], K)[1], truth[1::2])
    checksum = str(catalog.meta()["checksum"])
    tried = IVFParameters(ivf.nlist, ivf.nprobe, recall, target, len(ids), checksum, ivf.refine_k)
    pays = ivf.nprobe < WORTH_IT * ivf.nlist
    result = replace(result, tried=tried, pays=pays, milliseconds=_milliseconds(index, questions))
    return result, index if pays else exact


def choose(index: IVF, questions: Float32Array, truth: Int64Array, target: float) -> None:
    """Gives the index the `refine_k` and `nprobe` that surely reach the target recall of `truth` `[q, k]`.

    What is among the best by code is found, since the second ranking is exact: for so many lists one search tells the
    recall of every `refine_k`. More lists are tried until they alone cost more than the best choice so far. Where none
    up to `WORTH_IT` reaches it: all lists, the greatest.
    """
    index.refine_k, index.nprobe = REFINE_KS[-1], index.nlist
    some = questions[:ALL_LISTS_QUESTIONS], truth[:ALL_LISTS_QUESTIONS]
    among_all = index.by_code(some[0], REFINE_KS[-1], truth.shape[1])
    if _enough(among_all, some[1], target) is None:
        return
    # among fewer lists nothing ranks lower, but some of the nearest are not there: others have to make up for them
    deepest = _enough(among_all, some[1], (1 + target) / 2) or REFINE_KS[-1]
    best, chosen = math.inf, (index.refine_k, index.nprobe)
    for probes in _more_and_more(index.nlist):
        scanned = len(index) * probes / index.nlist
        if scanned >= best:
            break
        index.nprobe = probes
        enough = _enough(index.by_code(questions, deepest, truth.shape[1]), truth, target, errors=SURE)
        if enough is not None and scanned + READ_COSTS * enough < best:
            best, chosen = scanned + READ_COSTS * enough, (enough, probes)
    index.refine_k, index.nprobe = chosen


def _more_and_more(lists: int) -> Iterator[int]:
    """One list, and so on in `STRIDE`s up to the share that is worth it."""
    probes = 1
    while probes < WORTH_IT * lists:
        yield probes
        probes = max(probes + 1, round(STRIDE * probes))


def _enough(found: Int64Array, truth: Int64Array, target: float, *, errors: float = 0.0) -> int | None:
    """The least of `REFINE_KS` at which `found` `[q, n]`, the best first, has the wished share of `truth` `[q, k]`.

    By so many standard errors of the questions' mean more than wished.
    """
    places = np.full(truth.shape, np.inf)  # where the true ones are found, in no order
    for own, row, true in zip(places, found, truth, strict=True):
        at = np.flatnonzero(np.isin(row, true[true >= 0]))
        own[: len(at)] = at
    hits = (places < np.array(REFINE_KS)[:, np.newaxis, np.newaxis]).sum(axis=2)
    recalls = hits / np.maximum(1, (truth >= 0).sum(axis=1))  # [refine_ks, q]
    surely = recalls.mean(axis=1) - errors * recalls.std(axis=1) / np.sqrt(len(truth))
    return next(
        (refine_k for refine_k, recall in zip(REFINE_KS, surely.tolist(), strict=True) if recall >= target), None
    )


def exact_milliseconds(catalog: Catalog, ids: Int64Array, questions: Float32Array) -> float:
    """The time of a question to all vectors of `ids`, by that to a part of them."""
    part = VectorIndex(catalog.stored, ids[:TIMED_VECTORS])
    return _milliseconds(part, questions) * max(1.0, len(ids) / max(1, len(part)))


def _milliseconds(index: VectorIndex, questions: Float32Array) -> float:
    """The median processor time of one question, in however many threads; other programs do not change it."""
    times = []
    for question in questions[:TIMED]:
        began = time.process_time()
        index.search(question[np.newaxis], K)
        times.append(time.process_time() - began)
    return 1000 * float(np.median(times)) if times else 0.0

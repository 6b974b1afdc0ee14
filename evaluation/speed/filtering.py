"""A filtered search, all of it: the ids that a filter lets through, the nearest of them, and their paths.

Synthetic libraries have cameras that took a half, a tenth, a hundredth and a thousandth of the photos.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from evaluation.speed.clock import one_core
from evaluation.speed.figures import Aim, Figure
from evaluation.speed.searching import exact_index
from evaluation.speed.setting import RECALL, Setting
from evaluation.synthetic import CAMERAS, named_only
from indexer.encoders.base import Tower
from indexer.items import Int64Array, Vectors
from indexer.library import Library
from indexer.nearest.tuning import K, recall_of
from search import Engine
from search.filters import Filter, to_sql
from search.query import Query, parse

SHARES = (0.001, 0.01, 0.1, 0.5)

ROUNDS, ASKED = 3, 250

QUICK, FOUND = Aim(most=10.0), Aim(least=RECALL)


def measure(setting: Setting) -> Iterator[Figure]:
    """Milliseconds and recall at each share that a filter lets through, and without a filter."""
    for size in setting.sizes:
        with Library.open(setting.searched(size)) as library:
            (sentences,) = library.catalog.vectors_since("text", -1)
            questions = Vectors(sentences.ids[1::2][:ASKED], sentences.rows[1::2][:ASKED])
            named = named_only(library.dimension, str(library.catalog.meta()["checksum"]))
            engine = Engine(library, replace(named, makers=dict.fromkeys(("image", "text"), _nothing)))
            for share in (*SHARES, 1.0):
                yield from _one(engine, questions, share, setting.label(library, size))


def _nothing() -> Tower:
    """The questions are vectors: nothing is embedded."""
    raise NotImplementedError


def _one(engine: Engine, questions: Vectors, share: float, label: str) -> Iterator[Figure]:
    filters = [Filter("camera", name) for name, part in CAMERAS.items() if part == share]
    queries = [parse(f"id:{id}", k=K, wanted="image", filters=filters) for id in questions.ids.tolist()]
    with one_core():
        times, found = _answers(engine, queries)
    name = f"{share:.1%} allowed, {label}" if filters else f"all, {label}"
    yield Figure(name, 1000 * times, "ms", aim=QUICK)
    allowed = engine.library.catalog.ids("image", *to_sql(filters)) if filters else None
    truth = exact_index(engine.library).search(questions.rows, K, allowed=allowed)[1]
    yield Figure(f"{name}, recall@{K}", recall_of(found, truth), "", aim=FOUND)


def _answers(engine: Engine, queries: Sequence[Query]) -> tuple[float, Int64Array]:
    """The median seconds of a question, of the best round, and the ids `[q, K]` that are found."""
    medians = []
    for _ in range(ROUNDS):
        times, answers = [], []
        for query in queries:
            began = time.perf_counter()
            answers.append([hit.id for hit in engine.search(query)])
            times.append(time.perf_counter() - began)
        medians.append(float(np.median(times)))
    found = np.full((len(queries), K), -1, np.int64)
    for row, ids in zip(found, answers, strict=True):
        row[: len(ids)] = ids
    return min(medians), found

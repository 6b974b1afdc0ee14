"""How long a question takes: cold, from the start of the process to the answer; warm, exact and approximate; filtered.

A cold question is told beside a Python that only imports, an exact one beside the least time in which memory can be
read. The warm ones are a library's sentences, which lie aside from its photos; half of them have tuned the index, the
others are asked here. Synthetic libraries have cameras that took a half, a tenth, a hundredth and a thousandth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import cycle

import numpy as np

from benchmarks.figures import Aim, Figure
from benchmarks.machine import BASE, Command, base, best_seconds, by_turns, descry, one_core
from benchmarks.setting import RECALL, Setting, short
from benchmarks.synthetic import CAMERAS, SENTENCES, named_only
from indexer import shipped
from indexer.encoders import load_encoder
from indexer.encoders.base import Tower
from indexer.items import Float32Array, Int64Array, Vectors
from indexer.library import Library
from indexer.nearest.index import VectorIndex
from indexer.nearest.tuning import K, recall_of
from indexer.threads import processors
from search import Engine
from search.filters import Filter, to_sql
from search.query import Query, parse

# a cold question

COLD_ROUNDS = 9
SENTENCE = "two dogs playing in the snow"
PHOTO = shipped("photos", "cat.jpg")

IMPORTS = f"python -c '{BASE}'"

# Times the imports, for the encoder that travels with Descry and for a large one.
SMALL, LARGE = Aim(most=1.6), Aim(most=2.5)
MEMORY = Aim(most=250)


def cold(setting: Setting) -> Iterator[Figure]:
    """Milliseconds and peak memory of searches by sentence and by photo; the imports are one of the turns.

    Processor time is told too: a busy machine changes it less than the clock's.
    """
    aims: dict[str, Aim | None] = {}
    commands: dict[str, Command] = {IMPORTS: base()}
    for size in setting.sizes:
        for label, name, is_large in setting.names():
            library = setting.library(load_encoder(name, device=setting.device), size)
            of = f"{label}, {short(size)} photos"
            commands[f"search, {of}"] = descry("--library", library, "search", SENTENCE)
            aims[f"search, {of}"] = LARGE if is_large else SMALL
            if not is_large:  # a large image tower is torch's
                commands[f"similar, {of}"] = descry("--library", library, "similar", PHOTO)
    took = by_turns(commands, COLD_ROUNDS, environment={"HF_HUB_OFFLINE": "1"})
    imports = took.pop(IMPORTS)
    yield Figure(IMPORTS, 1000 * imports.seconds, "ms")
    yield Figure(f"{IMPORTS}, memory", imports.megabytes, "MB")
    for name, one in took.items():
        yield Figure(name, 1000 * one.seconds, "ms", 1000 * imports.seconds, "imports alone", aims.get(name))
        spent, least = 1000 * one.cpu_seconds, 1000 * imports.cpu_seconds
        yield Figure(f"{name}, processor time", spent, "ms", least, "imports alone", aims.get(name))
        yield Figure(f"{name}, memory", one.megabytes, "MB", aim=MEMORY)


# a warm question

ROUNDS, TIMED = 5, 50

# Rounds of one exact question and one reading of memory each: the best of many, since memory is everybody's.
TURNS = 20

NEAR_MEMORY, QUICK, FOUND, ALL = Aim(most=1.1), Aim(most=2.0), Aim(least=RECALL), Aim(least=1.0)

HALF = 2  # bytes of a number in an exact index


def searching(setting: Setting) -> Iterator[Figure]:
    """Milliseconds of one question to the index itself, and the share of the ten nearest that is found."""
    for size in setting.sizes:
        with Library.open(setting.searched(size)) as library:
            questions, truth = questions_of(library)
            label = setting.label(library, size)
            yield from _exact(library, questions, truth, label)
            yield from _approximate(library, questions, truth, label)


def questions_of(library: Library) -> tuple[Float32Array, Int64Array]:
    """Half of the library's sentences `[q, dim]`, and the ids `[q, K]` of the photos nearest to each."""
    (sentences,) = library.catalog.vectors_since("text", -1)
    questions = np.ascontiguousarray(sentences.rows[1:SENTENCES:2])
    return questions, exact_index(library).search(questions, K)[1]


def exact_index(library: Library) -> VectorIndex:
    """All photos, searched exactly."""
    return VectorIndex(library.catalog.stored, library.catalog.vector_ids("image"))


def _exact(library: Library, questions: Float32Array, truth: Int64Array, label: str) -> Iterator[Figure]:
    index = exact_index(library)
    found = np.concatenate([index.search(row[np.newaxis], K)[1] for row in questions[:TIMED]])
    name = f"exact, {label}"
    memory = np.ones((len(index), library.dimension * HALF // 4), np.float32)
    with one_core():
        yield _beside_memory(name, index, questions, memory, threads=1)
    if (threads := processors()) > 1:
        yield _beside_memory(f"{name}, {threads} threads", index, questions, memory, threads=threads)
    yield Figure(f"{name}, recall@{K}", recall_of(found, truth[: len(found)]), "", aim=ALL)


def _beside_memory(
    name: str, index: VectorIndex, questions: Float32Array, memory: Float32Array, *, threads: int
) -> Figure:
    """The time of one question beside the least in which as many threads read as many bytes as float16 has."""
    turns = cycle(questions)
    parts = np.array_split(memory, threads)
    with ThreadPoolExecutor(threads) as pool:
        calls = {how: partial(_in_parts, pool, read, parts) for how, read in READERS.items()}
        took = best_seconds({name: lambda: index.search(next(turns)[np.newaxis], K), **calls}, TURNS)
    own = took.pop(name)
    quickest = min(took, key=took.__getitem__)
    return Figure(name, 1000 * own, "ms", 1000 * took[quickest], f"reading float16's bytes by {quickest}", NEAR_MEMORY)


def _in_parts(pool: ThreadPoolExecutor, read: Callable[[Float32Array], object], parts: list[Float32Array]) -> None:
    for _ in pool.map(read, parts):
        pass


# Ways to read memory once, each written by others to be as quick as memory is. None that has threads of its own: they
# would not keep to one core (numpy's product of a matrix and a vector took two thirds of the time of these).
READERS: dict[str, Callable[[Float32Array], object]] = {
    "max": lambda rows: rows.max(),
    "or": lambda rows: np.bitwise_or.reduce(rows.view(np.int64), axis=None),
    "vecdot": lambda rows: np.vecdot(rows, np.ones(rows.shape[1], np.float32)),
}


def _approximate(library: Library, questions: Float32Array, truth: Int64Array, label: str) -> Iterator[Figure]:
    index, choice = library.index("image"), library.indexes.parameters("image")
    if choice is None:  # so few are searched exactly
        return
    with one_core():
        each(index, questions)
        seconds = best_seconds({"": lambda: each(index, questions[:TIMED])}, ROUNDS)[""]
        found = np.concatenate([index.search(row[np.newaxis], K)[1] for row in questions])
    name = f"approximate, {label}"
    yield Figure(name, 1000 * seconds / min(TIMED, len(questions)), "ms", aim=QUICK)
    yield Figure(f"{name}, recall@{K}", recall_of(found, truth), "", aim=FOUND)


def each(index: VectorIndex, questions: Float32Array) -> None:
    """Asks one question after the other."""
    for row in questions:
        index.search(row[np.newaxis], K)


# a filtered question

SHARES = (0.001, 0.01, 0.1, 0.5)

FILTERED_ROUNDS, ASKED = 3, 250

FILTERED = Aim(most=10.0)


def filtering(setting: Setting) -> Iterator[Figure]:
    """Milliseconds and recall at each share that a filter lets through, and without a filter."""
    for size in setting.sizes:
        with Library.open(setting.searched(size)) as library:
            (sentences,) = library.catalog.vectors_since("text", -1)
            questions = Vectors(sentences.ids[1::2][:ASKED], sentences.rows[1::2][:ASKED])
            named = named_only(library.dimension, str(library.catalog.meta()["checksum"]))
            engine = Engine(library, replace(named, makers=dict.fromkeys(("image", "text"), nothing)))
            for share in (*SHARES, 1.0):
                yield from _one(engine, questions, share, setting.label(library, size))


def nothing() -> Tower:
    """The questions are vectors: nothing is embedded."""
    raise NotImplementedError


def _one(engine: Engine, questions: Vectors, share: float, label: str) -> Iterator[Figure]:
    filters = [Filter("camera", name) for name, part in CAMERAS.items() if part == share]
    queries = [parse(f"id:{id}", k=K, wanted="image", filters=filters) for id in questions.ids.tolist()]
    with one_core():
        times, found = _answers(engine, queries)
    name = f"{share:.1%} allowed, {label}" if filters else f"all, {label}"
    yield Figure(name, 1000 * times, "ms", aim=FILTERED)
    allowed = engine.library.catalog.ids("image", *to_sql(filters)) if filters else None
    truth = exact_index(engine.library).search(questions.rows, K, allowed=allowed)[1]
    yield Figure(f"{name}, recall@{K}", recall_of(found, truth), "", aim=FOUND)


def _answers(engine: Engine, queries: Sequence[Query]) -> tuple[float, Int64Array]:
    """The median seconds of a question, of the best round, and the ids `[q, K]` that are found."""
    medians = []
    for _ in range(FILTERED_ROUNDS):
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

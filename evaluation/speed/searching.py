"""A warm search on one core: exact beside the least time in which memory can be read, approximate with its recall.

The questions are a library's sentences, which lie aside from its photos; half of them have tuned the index, the
others are asked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np

from evaluation.speed.clock import best_seconds, one_core
from evaluation.speed.figures import Aim, Figure
from evaluation.speed.setting import RECALL, Setting
from evaluation.synthetic import SENTENCES
from indexer.items import Float32Array, Int64Array
from indexer.library import Library
from indexer.nearest.index import VectorIndex
from indexer.nearest.tuning import K, recall_of
from indexer.threads import processors

ROUNDS, TIMED = 5, 50

# Rounds of one exact question and one reading of memory each: the best of many, since memory is everybody's.
TURNS = 20

NEAR_MEMORY, QUICK, FOUND, ALL = Aim(most=1.1), Aim(most=2.0), Aim(least=RECALL), Aim(least=1.0)

HALF = 2  # bytes of a number in an exact index


def measure(setting: Setting) -> Iterator[Figure]:
    """Milliseconds of one question to the index itself, and the share of the ten nearest that is found."""
    for size in setting.sizes:
        with Library.open(setting.searched(size)) as library:
            questions, truth = asked(library)
            label = setting.label(library, size)
            yield from _exact(library, questions, truth, label)
            yield from _approximate(library, questions, truth, label)


def asked(library: Library) -> tuple[Float32Array, Int64Array]:
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
    asked = cycle(questions)
    parts = np.array_split(memory, threads)
    with ThreadPoolExecutor(threads) as pool:
        calls = {how: partial(_in_parts, pool, read, parts) for how, read in READERS.items()}
        took = best_seconds({name: lambda: index.search(next(asked)[np.newaxis], K), **calls}, TURNS)
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


def index_bytes(library: Path, modality: str) -> int:
    """The size of a saved index."""
    return (library / f"{modality}.faiss").stat().st_size

"""A warm search on one core: exact beside the least time in which memory can be read, approximate with its recall.

The questions are a library's sentences, which lie aside from its photos; half of them have tuned the index, the
others are asked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from evaluation.speed.clock import best_seconds, one_core
from evaluation.speed.figures import Aim, Figure
from evaluation.speed.setting import RECALL, Setting, short
from evaluation.synthetic import SENTENCES, named_only
from indexer.items import Float32Array, Int64Array
from indexer.library import Library
from indexer.tuning import K, nearest, recall_of
from indexer.vectors import VectorIndex

DIMENSION = 512

ROUNDS, TIMED, FEW = 5, 50, 10

NEAR_MEMORY, QUICK, FOUND = Aim(most=1.1), Aim(most=2.0), Aim(least=RECALL)

HALF = 2  # bytes of a number in an exact index


def measure(setting: Setting) -> Iterator[Figure]:
    """Milliseconds of one question to the index itself, and the share of the ten nearest that is found."""
    encoder = named_only(DIMENSION)
    for size in setting.sizes:
        with Library.open(setting.library(encoder, size)) as library:
            questions, truth = asked(library)
            yield from _exact(library, questions, size)
            yield from _approximate(library, questions, truth, size)


def asked(library: Library) -> tuple[Float32Array, Int64Array]:
    """Half of the library's sentences `[q, dim]`, and the ids `[q, K]` of the photos nearest to each."""
    (sentences,) = library.catalog.vectors_since("text", -1)
    questions = np.ascontiguousarray(sentences.rows[1:SENTENCES:2])
    return questions, nearest(library.catalog.vectors_since("image", -1), questions, K)


def _exact(library: Library, questions: Float32Array, size: int) -> Iterator[Figure]:
    index = VectorIndex(library.dimension)
    for piece in library.catalog.vectors_since("image", -1):
        index.add(piece)
    name = f"exact, {short(size)} x {library.dimension}"
    with one_core():
        calls = {name: lambda: each(index, questions[:FEW]), **_readers(size * library.dimension * HALF)}
        took = best_seconds(calls, ROUNDS)
    own = 1000 * took.pop(name) / min(FEW, len(questions))
    quickest = min(took, key=took.__getitem__)
    yield Figure(name, own, "ms", 1000 * took[quickest], f"reading as many bytes by {quickest}", NEAR_MEMORY)


def _readers(size: int) -> dict[str, Callable[[], object]]:
    """Ways to read that many bytes of memory once, each written by others to be as quick as memory is."""
    zeros = bytearray(size)
    numbers = np.frombuffer(zeros, np.float32)
    rows = numbers[: numbers.size // DIMENSION * DIMENSION].reshape(-1, DIMENSION)
    row = np.zeros(DIMENSION, np.float32)
    return {"memchr": lambda: zeros.find(1), "max": lambda: numbers.max(), "BLAS": lambda: rows @ row}


def _approximate(library: Library, questions: Float32Array, truth: Int64Array, size: int) -> Iterator[Figure]:
    index, choice = library.index("image"), library.choice("image")
    if choice is None:  # so few are searched exactly
        return
    with one_core():
        each(index, questions)
        seconds = best_seconds({"": lambda: each(index, questions[:TIMED])}, ROUNDS)[""]
        found = np.concatenate([index.search(row[np.newaxis], K)[1] for row in questions])
    name = f"approximate, {short(size)} x {library.dimension}"
    yield Figure(name, 1000 * seconds / min(TIMED, len(questions)), "ms", aim=QUICK)
    yield Figure(f"{name}, recall@{K}", recall_of(found, truth), "", aim=FOUND)


def each(index: VectorIndex, questions: Float32Array) -> None:
    """Asks one question after the other."""
    for row in questions:
        index.search(row[np.newaxis], K)


def index_bytes(library: Path, modality: str) -> int:
    """The size of a saved index."""
    return (library / f"{modality}.faiss").stat().st_size

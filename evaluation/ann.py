"""What approximate search misses and saves: recall@10 and milliseconds of one core, by wished recall and by filter.

Times are processor time of one thread, one question at a time. With a library the questions are vectors of the other
modality, as people ask; synthetic vectors are a second opinion, for sizes that no library at hand has.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from indexer.encoders.base import unit_rows
from indexer.inverted import TRAINED_ON, learn_centroids
from indexer.items import Float32Array, Int64Array, Vectors
from indexer.library import Library
from indexer.tuning import K, fewest_probes, lists_for, nearest, recall_of
from indexer.vectors import VectorIndex

WISHED = (0.9, 0.95, 0.98, 0.99)
SHARES = (0.001, 0.01, 0.1, 0.5)

# What the filters and the file are measured at.
USUAL = 0.98

QUESTIONS, TIMED = 400, 50
PIECE = 65_536

# Synthetic vectors: a cluster's size, how far its vectors lie from the centre, in the centre's length, and how far
# questions lie from their vector.
CLUSTER, SPREAD, ASIDE = 250, 1.0, 0.8


def of_library(path: Path) -> dict[str, Any]:
    """Photos by sentences and sentences by photos, with all vectors of a library that has both."""
    with Library.open(path) as library:
        held = {modality: _together(library.catalog.vectors_since(modality, -1)) for modality in ("image", "text")}
    rows = {modality: vectors.rows for modality, vectors in held.items()}
    return {
        "photos by sentences": measure(held["image"], _spread(rows["text"])),
        "sentences by photos": measure(held["text"], _spread(rows["image"])),
    }


def synthetic(count: int, dimension: int) -> dict[str, Any]:
    """Clusters of `CLUSTER` vectors; questions lie near vectors, and all aside in one direction, as sentences do."""
    chance = np.random.default_rng(0)
    centres = _scaled(chance, max(1, count // CLUSTER), dimension)
    rows = np.empty((count, dimension), np.float32)
    for start in range(0, count, PIECE):
        size = min(PIECE, count - start)
        noise = _scaled(chance, size, dimension)
        rows[start : start + size] = unit_rows(centres[chance.integers(len(centres), size=size)] + SPREAD * noise)
    near = rows[chance.choice(count, min(count, QUESTIONS), replace=False)]
    aside = _scaled(chance, 1, dimension)
    questions = unit_rows(near + ASIDE * _scaled(chance, len(near), dimension) + aside)
    return {"synthetic": measure(Vectors(np.arange(count, dtype=np.int64), rows), questions)}


def measure(vectors: Vectors, questions: Float32Array) -> dict[str, Any]:
    """The table of one set of vectors: every second question tunes, the others tell."""
    truth = nearest(_pieces(vectors), questions, K)
    table: dict[str, Any] = {
        "vectors": {"count": len(vectors), "dimension": vectors.rows.shape[1]},
        "exact": _figures(_filled(VectorIndex(vectors.rows.shape[1]), vectors), questions[1::2], truth[1::2]),
    }
    began = time.process_time()
    lists = lists_for(len(vectors))
    places = np.linspace(0, len(vectors) - 1, min(len(vectors), TRAINED_ON * lists), dtype=np.int64)
    index = _filled(VectorIndex.approximate(learn_centroids(vectors.rows[places], lists), probes=1), vectors)
    built = time.process_time() - began
    chosen = {}
    for wished in WISHED:
        chosen[wished] = index.probes = fewest_probes(index, questions[::2], truth[::2], wished)
        table[f"recall {wished:g}"] = {
            "lists": lists,
            "probes": index.probes,
            **_figures(index, questions[1::2], truth[1::2]),
        }
    index.probes = chosen[USUAL]
    table |= {f"{share:.1%} allowed": _filtered(index, vectors, questions, share) for share in SHARES}
    return table | {"file": {"build s": built, **_as_file(index, questions)}}


def _filtered(index: VectorIndex, vectors: Vectors, questions: Float32Array, share: float) -> dict[str, float]:
    """Recall and time where a share of the vectors, drawn by chance, is allowed."""
    drawn = np.flatnonzero(np.random.default_rng(1).random(len(vectors)) < share)
    allowed = Vectors(vectors.ids[drawn], vectors.rows[drawn])
    return _figures(index, questions[1::2], nearest(_pieces(allowed), questions[1::2], K), allowed.ids)


def _figures(
    index: VectorIndex, questions: Float32Array, truth: Int64Array, allowed: Int64Array | None = None
) -> dict[str, float]:
    found = index.search(questions, K, allowed=allowed)[1]
    times = [
        _processor_time(lambda row=row: index.search(row[np.newaxis], K, allowed=allowed))  # type: ignore[misc]
        for row in questions[:TIMED]
    ]
    return {"recall": recall_of(found, truth), "ms": 1000 * float(np.median(times))}


def _as_file(index: VectorIndex, questions: Float32Array) -> dict[str, float]:
    """The size of a saved index, how long it takes to open, and the first question after that."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.faiss"
        index.save(path)
        began = time.perf_counter()
        opened = VectorIndex.open(path)
        ready = time.perf_counter()
        opened.search(questions[:1], K)
        answered = time.perf_counter()
        size = path.stat().st_size / max(1, len(index))
        return {"bytes a vector": size, "open ms": 1000 * (ready - began), "first ms": 1000 * (answered - ready)}


def _filled(index: VectorIndex, vectors: Vectors) -> VectorIndex:
    for piece in _pieces(vectors):
        index.add(piece)
    return index


def _pieces(vectors: Vectors) -> Sequence[Vectors]:
    starts = range(0, len(vectors), PIECE)
    return [Vectors(vectors.ids[at : at + PIECE], vectors.rows[at : at + PIECE]) for at in starts]


def _together(pieces: Any) -> Vectors:
    held = list(pieces)
    return Vectors(np.concatenate([piece.ids for piece in held]), np.concatenate([piece.rows for piece in held]))


def _spread(rows: Float32Array) -> Float32Array:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), QUESTIONS), dtype=np.int64)]


def _scaled(chance: np.random.Generator, count: int, dimension: int) -> Float32Array:
    """Vectors in all directions, of length one on average."""
    return chance.standard_normal((count, dimension), dtype=np.float32) / np.float32(np.sqrt(dimension))


def _processor_time(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return time.thread_time() - began

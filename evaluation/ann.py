"""What approximate search misses and saves: recall@10 and milliseconds of one core, by wished recall and by filter.

Times are processor time of one thread, one question at a time, reading what is ranked from the catalog included. The
questions are vectors of the other modality, as people ask; synthetic vectors are a second opinion, for sizes that no
library at hand has.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.synthetic import named_only, write_library
from indexer.items import Float32Array, Int64Array
from indexer.library import Library
from indexer.nearest.index import VectorIndex
from indexer.nearest.ivf import IVF
from indexer.nearest.mapped import MappedIVF
from indexer.nearest.saved import Sealed
from indexer.nearest.tuning import K, build, choose, exact_milliseconds, nlist_for, recall_of
from indexer.storage.catalog import Catalog

WISHED = (0.9, 0.95, 0.98, 0.99)
SHARES = (0.001, 0.01, 0.1, 0.5)

# What the filters and the file are measured at.
USUAL = 0.98

QUESTIONS, TIMED = 400, 50


def of_library(path: Path) -> dict[str, Any]:
    """Photos by sentences and sentences by photos, with all vectors of a library that has both."""
    with Library.open(path) as library, library.catalog.snapshot():
        asked = {modality: _questions(library.catalog, modality) for modality in ("image", "text")}
        return {
            "photos by sentences": measure(library.catalog, "image", asked["text"]),
            "sentences by photos": measure(library.catalog, "text", asked["image"]),
        }


def synthetic(count: int, dimension: int) -> dict[str, Any]:
    """A library out of nothing, see `evaluation.synthetic`: its photos by its sentences."""
    with tempfile.TemporaryDirectory() as folder:
        write_library(Path(folder), count, named_only(dimension))
        with Library.open(folder) as library, library.catalog.snapshot():
            return {"synthetic": measure(library.catalog, "image", _questions(library.catalog, "text"))}


def _questions(catalog: Catalog, modality: str) -> Float32Array:
    """`QUESTIONS` rows at most that are drawn by chance, in no order."""
    rows = catalog.some_vectors(modality, 2 * QUESTIONS).rows
    return np.random.default_rng(0).permutation(rows)[:QUESTIONS]


def measure(catalog: Catalog, modality: str, questions: Float32Array) -> dict[str, Any]:
    """The table of one modality: every second question tunes, the others tell."""
    ids = catalog.vector_ids(modality)
    exact = VectorIndex(catalog.stored, ids)
    drawn = {share: _drawn(catalog, modality, share) for share in SHARES}
    truth = exact.search(questions, K)[1]
    truths = {share: exact.search(questions, K, allowed=allowed)[1] for share, allowed in drawn.items()}
    ivf = build(catalog, modality, nlist=nlist_for(len(ids)))
    index = VectorIndex(catalog.stored, ivf=ivf, revision=catalog.revision)
    table: dict[str, Any] = {
        "vectors": {"count": len(ids), "dimension": ivf.dimension},
        "exact": {"ms": exact_milliseconds(catalog, ids, questions)},
    }
    chosen = {}
    for wished in WISHED:
        choose(ivf, questions[::2], truth[::2], wished)
        chosen[wished] = ivf.refine_k, ivf.nprobe
        table[f"recall {wished:g}"] = {
            "nlist": ivf.nlist,
            "nprobe": ivf.nprobe,
            "refine_k": ivf.refine_k,
            **_figures(index, questions[1::2], truth[1::2]),
        }
    ivf.refine_k, ivf.nprobe = chosen[USUAL]
    for share, allowed in drawn.items():
        table[f"{share:.1%} allowed"] = _figures(index, questions[1::2], truths[share][1::2], allowed)
    return table | {"file": _as_file(ivf, catalog, questions)}


def _drawn(catalog: Catalog, modality: str, share: float) -> Int64Array:
    """The ids of a share of the vectors, drawn by chance."""
    ids = catalog.ids(modality, "TRUE")
    return np.sort(ids[np.random.default_rng(1).random(len(ids)) < share])


def _figures(
    index: VectorIndex, questions: Float32Array, truth: Int64Array, allowed: Int64Array | None = None
) -> dict[str, float]:
    found = index.search(questions, K, allowed=allowed)[1]
    times = [
        _processor_time(lambda row=row: index.search(row[np.newaxis], K, allowed=allowed))  # type: ignore[misc]
        for row in questions[:TIMED]
    ]
    return {"recall": recall_of(found, truth), "ms": 1000 * float(np.median(times))}


def _as_file(ivf: IVF, catalog: Catalog, questions: Float32Array) -> dict[str, float]:
    """The size of a saved index, how long it takes to open, and the first question after that."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.faiss"
        ivf.save(path, revision=catalog.revision, generation=catalog.generation_name)
        began = time.perf_counter()
        opened = VectorIndex(catalog.stored, ivf=MappedIVF(Sealed(path)))
        ready = time.perf_counter()
        opened.search(questions[:1], K)
        answered = time.perf_counter()
        size = path.stat().st_size / max(1, len(ivf))
        return {"bytes a vector": size, "open ms": 1000 * (ready - began), "first ms": 1000 * (answered - ready)}


def _processor_time(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began

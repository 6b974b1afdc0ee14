"""usearch: an HNSW graph over float16, its vectors beside the edges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from usearch.index import Index

from benchmarks.vectors.base import Data, Float32Array


class Engine:
    """Everything by default but the distance and the vectors' half precision."""

    knobs: Sequence[Any] = (16, 32, 64, 128, 256, 512, 1024)

    def build(self, data: Data, folder: Path) -> None:
        """Grows the graph on all cores and writes it."""
        index = Index(ndim=data.dimension, metric="ip", dtype="f16")
        for ids, rows in data.pieces():
            index.add(ids, rows)
        index.save(str(folder / "index.usearch"))

    def open(self, folder: Path) -> None:
        """Reads the graph."""
        self._index: Any = Index.restore(str(folder / "index.usearch"))

    def turn(self, knob: Any) -> None:
        """The candidates that a search keeps."""
        self._index.expansion_search = knob

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        """Walks the graph."""
        ids: list[int] = self._index.search(question, k, threads=1).keys.tolist()
        return ids

    def add(self, id: int, row: Float32Array) -> None:
        """Grows the graph."""
        self._index.add(id, row)

    def remove(self, id: int) -> None:
        """Marks the vector."""
        self._index.remove(id)

"""hnswlib: the original HNSW graph, float32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np

from benchmarks.vectors.base import Data, Float32Array

M, EF_CONSTRUCTION = 16, 200


class Engine:
    """The inner product of unit rows is the cosine."""

    knobs: Sequence[Any] = (16, 32, 64, 128, 256, 512, 1024)

    def build(self, data: Data, folder: Path) -> None:
        """Grows the graph on all cores and writes it."""
        index = hnswlib.Index(space="ip", dim=data.dimension)
        index.init_index(max_elements=data.count + 1, M=M, ef_construction=EF_CONSTRUCTION)
        for ids, rows in data.pieces():
            index.add_items(rows, ids)
        index.save_index(str(folder / "index.bin"))
        (folder / "dimension").write_text(str(data.dimension))

    def open(self, folder: Path) -> None:
        """Reads the graph."""
        self._index: Any = hnswlib.Index(space="ip", dim=int((folder / "dimension").read_text()))
        self._index.load_index(str(folder / "index.bin"))
        self._index.set_num_threads(1)

    def turn(self, knob: Any) -> None:
        """The candidates that a search keeps."""
        self._index.set_ef(knob)

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        """Walks the graph."""
        ids: list[int] = self._index.knn_query(question, k)[0][0].tolist()
        return ids

    def add(self, id: int, row: Float32Array) -> None:
        """Within the number of vectors that was named at the beginning; a larger one copies the index."""
        self._index.add_items(row[np.newaxis], np.array([id]))

    def remove(self, id: int) -> None:
        """Marks the vector: it takes its place still."""
        self._index.mark_deleted(id)

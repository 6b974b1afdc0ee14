"""FAISS without any approximation: float32, inner product."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.vectors.base import Data, Float32Array


class Engine:
    """`IDMap2,Flat`: the ids are ours, so that removing one does not rename the others."""

    knobs: Sequence[Any] = ()

    def build(self, data: Data, folder: Path) -> None:
        """Adds piece by piece and writes the file."""
        index = faiss.index_factory(data.dimension, "IDMap2,Flat", faiss.METRIC_INNER_PRODUCT)
        for ids, rows in data.pieces():
            index.add_with_ids(rows, ids)
        faiss.write_index(index, str(folder / "index.faiss"))

    def open(self, folder: Path) -> None:
        """Reads the file."""
        self._index: Any = faiss.read_index(str(folder / "index.faiss"))

    def turn(self, knob: Any) -> None:
        """Nothing to turn."""

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        """All vectors are looked at."""
        ids: list[int] = self._index.search(question[np.newaxis], k)[1][0].tolist()
        return ids

    def add(self, id: int, row: Float32Array) -> None:
        """Appends."""
        self._index.add_with_ids(row[np.newaxis], np.array([id], np.int64))

    def remove(self, id: int) -> None:
        """Closes the gap."""
        self._index.remove_ids(np.array([id], np.int64))

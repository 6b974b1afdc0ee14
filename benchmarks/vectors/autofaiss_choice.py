"""autofaiss: it chooses kind and parameters of a FAISS index by itself; clip-retrieval builds its indexes by it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from autofaiss import build_index

from benchmarks.vectors.base import Data, Float32Array

# As clip-retrieval asks for.
MEMORY = {"max_index_memory_usage": "4G", "current_memory_available": "16G"}


class Engine:
    """Nothing is turned: the search parameters that it tuned are in the file."""

    knobs: Sequence[Any] = ()

    def build(self, data: Data, folder: Path) -> None:
        """It reads its vectors from files of a folder."""
        with tempfile.TemporaryDirectory() as embeddings:
            (Path(embeddings) / "rows.npy").symlink_to((data.folder / "rows.npy").resolve())
            build_index(
                embeddings=embeddings,
                index_path=str(folder / "knn.index"),
                index_infos_path=str(folder / "infos.json"),
                metric_type="ip",
                **MEMORY,
            )

    def open(self, folder: Path) -> None:
        """Reads the file."""
        self._index: Any = faiss.read_index(str(folder / "knn.index"))
        self.chosen = json.loads((folder / "infos.json").read_text())["index_key"]

    def turn(self, knob: Any) -> None:
        """Nothing to turn."""

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        """As it was tuned."""
        ids: list[int] = self._index.search(question[np.newaxis], k)[1][0].tolist()
        return ids

    def add(self, id: int, row: Float32Array) -> None:
        """The place is the id."""
        if self._index.ntotal != id:
            raise NotImplementedError
        self._index.add(row[np.newaxis])

    def remove(self, id: int) -> None:
        """FAISS's graphs cannot."""
        try:
            self._index.remove_ids(np.array([id], np.int64))
        except RuntimeError as error:
            raise NotImplementedError from error

"""Descry as its users have it: a library with paths and facts, whose index `descry optimize` has chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.vectors.base import WISHED, Data, Float32Array
from evaluation.synthetic import named_only, write_library
from indexer.library import Library

# A library's ids begin with one, the places of vectors with none.
FIRST = 1


class Engine:
    """Nothing is turned: `descry optimize` has. The library's vectors are those of `data`, made by the same recipe."""

    knobs: Sequence[Any] = ()

    def build(self, data: Data, folder: Path) -> None:
        """Writes the library, then tunes its index with every second question, as the other engines are tuned."""
        write_library(folder / "library", data.count, named_only(data.dimension))
        questions, _ = data.questions("aside")
        with Library.open(folder / "library", readonly=False) as library:
            library.indexes.optimize("image", questions[::2], recall=WISHED)

    def open(self, folder: Path) -> None:
        """Opens the library and its index of photos."""
        library = Library.open(folder / "library")
        self._library, self._index, chosen = library, library.index("image"), library.indexes.parameters("image")
        self.chosen = f"{chosen.nprobe} of {chosen.nlist} lists" if chosen else "exact"

    def turn(self, knob: Any) -> None:
        """Nothing to turn."""

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        """As the engine asks."""
        ids: list[int] = (self._index.search(question[np.newaxis], k)[1][0] - FIRST).tolist()
        return ids

    def add(self, id: int, row: Float32Array) -> None:
        """Beside the index, until the next save takes it over; the library's sentences have the ids that follow."""
        ids = np.array([id + FIRST], np.int64)
        self._library.catalog.stored.write(ids, row[np.newaxis])
        self._index.add(ids)

    def remove(self, id: int) -> None:
        """Passed over from now on."""
        self._index.remove(np.array([id + FIRST], np.int64))

"""Descry as its users have it before `descry optimize`: every vector is looked at."""

from __future__ import annotations

from pathlib import Path

from benchmarks.vectors import descry_index
from benchmarks.vectors.base import Data
from evaluation.synthetic import named_only, write_library
from indexer.library import Library


class Engine(descry_index.Engine):
    """The same library, not optimized."""

    def build(self, data: Data, folder: Path) -> None:
        """Writes the library and its index."""
        write_library(folder / "library", data.count, named_only(data.dimension))
        with Library.open(folder / "library", readonly=False) as library, library.lock():
            library.indexes.save()

"""LanceDB with the index that it makes by default: inverted lists of product-quantised vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lancedb

from benchmarks.vectors import lancedb_flat
from benchmarks.vectors.base import Data, Float32Array

# Its documentation advises to rank ten times the answers anew by their whole vectors.
REFINED = 10


class Engine(lancedb_flat.Engine):
    """The knob is the lists that are probed."""

    knobs: Sequence[Any] = (8, 16, 32, 64, 128, 256, 512)

    def build(self, data: Data, folder: Path) -> None:
        """Writes the table, then indexes it."""
        super().build(data, folder)
        lancedb.connect(folder).open_table("vectors").create_index(metric="cosine", vector_column_name="vector")

    def turn(self, knob: Any) -> None:
        """The lists that are probed."""
        self._probes = knob

    def _query(self, question: Float32Array) -> Any:
        return super()._query(question).nprobes(self._probes).refine_factor(REFINED)

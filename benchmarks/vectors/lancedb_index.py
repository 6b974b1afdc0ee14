"""LanceDB with the index that it makes by default: inverted lists of product-quantised vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lancedb

from benchmarks.vectors import lancedb_flat
from benchmarks.vectors.base import Data, Float32Array

# Lists that are probed, and how many times the answers are ranked anew by their whole vectors: ten times, as its
# documentation advises, and more where all lists are not enough.
KNOBS = ((8, 10), (16, 10), (32, 10), (64, 10), (64, 50), (128, 50), (256, 50), (256, 200), (512, 200), (512, 500))


class Engine(lancedb_flat.Engine):
    """A knob is the lists that are probed with the depth of the second ranking."""

    knobs: Sequence[Any] = KNOBS

    def build(self, data: Data, folder: Path) -> None:
        """Writes the table, then indexes it."""
        super().build(data, folder)
        lancedb.connect(folder).open_table("vectors").create_index(metric="cosine", vector_column_name="vector")

    def turn(self, knob: Any) -> None:
        """How many lists, and how deep."""
        self._probes, self._refined = knob
        self.chosen = f"{self._probes} lists, {self._refined} x k refined"

    def _query(self, question: Float32Array) -> Any:
        return super()._query(question).nprobes(self._probes).refine_factor(self._refined)

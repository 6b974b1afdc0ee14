"""LanceDB as it is without an index: every vector is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa

from benchmarks.vectors.base import Data, Float32Array


class Engine:
    """A table of ids and float32 vectors, cosine."""

    knobs: Sequence[Any] = ()

    def build(self, data: Data, folder: Path) -> None:
        """Writes the table."""
        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), data.dimension))])
        lancedb.connect(folder).create_table("vectors", _batches(data, schema), schema=schema)

    def open(self, folder: Path) -> None:
        """Opens the table."""
        self._table: Any = lancedb.connect(folder).open_table("vectors")

    def turn(self, knob: Any) -> None:
        """Nothing to turn."""

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        """All vectors are looked at."""
        ids: list[int] = self._query(question).limit(k).select(["id"]).to_arrow()["id"].to_pylist()
        return ids

    def _query(self, question: Float32Array) -> Any:
        return self._table.search(question).distance_type("cosine")

    def add(self, id: int, row: Float32Array) -> None:
        """A fragment more."""
        self._table.add([{"id": id, "vector": row}])

    def remove(self, id: int) -> None:
        """Marks the row."""
        self._table.delete(f"id = {id}")


def _batches(data: Data, schema: Any) -> Iterator[Any]:
    for ids, rows in data.pieces():
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), data.dimension)
        yield pa.record_batch([pa.array(ids), vectors], schema=schema)

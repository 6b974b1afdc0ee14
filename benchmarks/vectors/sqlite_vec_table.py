"""sqlite-vec: a virtual table of SQLite that looks at every vector.

SQLite comes by apsw: the sqlite3 of many a Python was built without extensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import sqlite_vec

from benchmarks.vectors.base import Data, Float32Array


class Engine:
    """A `vec0` table, cosine."""

    knobs: Sequence[Any] = ()

    def build(self, data: Data, folder: Path) -> None:
        """Inserts in one transaction."""
        self.open(folder)
        vector = f"float[{data.dimension}] distance_metric=cosine"
        self._db.execute(f"CREATE VIRTUAL TABLE v USING vec0(id INTEGER PRIMARY KEY, e {vector})")
        with self._db:
            for ids, rows in data.pieces():
                pairs = ((id, row.tobytes()) for id, row in zip(ids.tolist(), rows, strict=True))
                self._db.executemany("INSERT INTO v (id, e) VALUES (?, ?)", pairs)

    def open(self, folder: Path) -> None:
        """Opens the database."""
        self._db: Any = apsw.Connection(str(folder / "vectors.sqlite3"))
        self._db.enable_load_extension(True)
        self._db.load_extension(sqlite_vec.loadable_path())

    def turn(self, knob: Any) -> None:
        """Nothing to turn."""

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        """All vectors are looked at."""
        sql = "SELECT id FROM v WHERE e MATCH ? AND k = ? ORDER BY distance"
        return [id for (id,) in self._db.execute(sql, (question.tobytes(), k))]

    def add(self, id: int, row: Float32Array) -> None:
        """A row more."""
        self._db.execute("INSERT INTO v (id, e) VALUES (?, ?)", (id, row.tobytes()))

    def remove(self, id: int) -> None:
        """A row less."""
        self._db.execute("DELETE FROM v WHERE id = ?", (id,))

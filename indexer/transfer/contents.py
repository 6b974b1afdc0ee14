"""What a library holds, column by column, as exports write it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.library import Library
from indexer.storage.files import LIMBO
from indexer.transfer.batches import BATCH, Origin

# An SQL condition over `items`, `files` and `folders`, with the values of its question marks.
Condition = tuple[str, Sequence[Any]]

# The columns of an export beside `id` and `vector`, and how the catalog says them. `facts` is a JSON object,
# `fingerprint` the XXH3-128 of the file in hexadecimal; -1 and "" stand for what is not known.
COLUMNS = {
    "modality": "items.modality",
    "path": "rtrim(folders.path, '/') || '/' || files.name",
    "part": "part",
    "text": "text",
    "facts": "facts",
    "file_size": "CASE WHEN mtime_ns IS NULL THEN -1 ELSE size END",
    "mtime_ns": "coalesce(mtime_ns, -1)",
    "fingerprint": "lower(hex(coalesce(fingerprint, x'')))",
}
NUMBERS = ("id", "file_size", "mtime_ns")

_SQL = {"id": "items.id", **COLUMNS}


class Contents:
    """The items of a library that pass a condition, those of one file one after another."""

    def __init__(self, library: Library, modality: str, condition: Condition) -> None:
        self._catalog = library.catalog
        where, values = condition
        self._values = (modality, modality, *values)
        self._from = (
            "FROM items JOIN files ON files.id = file_id "
            "JOIN folders ON folders.id = folder_id "
            f"WHERE folders.path != '{LIMBO}' AND (? = '' OR items.modality = ?) AND {where}"
        )
        meta = library.catalog.meta()
        self.origin = Origin(meta["encoder"], meta["checksum"])
        self.dimension = library.dimension

    def __len__(self) -> int:
        return int(self._catalog.scalar(f"SELECT count(*) {self._from}", self._values))

    def longest(self, column: str) -> int:
        """The characters of the longest value of a column."""
        return int(self._catalog.scalar(f"SELECT max(length({_SQL[column]})) {self._from}", self._values) or 0)

    def columns(self, *names: str, at_once: int = 0) -> Iterator[list[tuple[Any, ...]]]:
        """The values of some columns, `at_once` rows at a time, `BATCH` without."""
        wanted = ", ".join(_SQL[name] for name in names)
        with closing(self._catalog.connection.cursor()) as cursor:
            cursor.execute(f"SELECT {wanted} {self._from} ORDER BY file_id, items.id", self._values)
            while rows := cursor.fetchmany(at_once or BATCH):
                yield rows

    def halves(self, ids: Sequence[int]) -> npt.NDArray[np.float16]:
        """The vectors of items as `[n, dim]` float16, which rounds none of them."""
        return self._catalog.stored.read(np.array(ids, np.int64)).astype("<f2")

"""The vectors themselves: one flat file beside the catalog, in which an item's id is its vector's place.

Apart from SQLite because most that is asked of them is a few hundred by their ids, scattered over all: of a million of
512 dimensions 300 take 0.26 ms here, and 1.9 ms as rows of a table. The catalog says which of them count: what it has
not committed is overwritten by whoever gets the id next, and an id's vector never changes.
"""

from __future__ import annotations

import mmap
import os
from io import FileIO
from pathlib import Path

import numpy as np

from indexer.errors import LibraryDamaged, LibraryFull
from indexer.items import Float32Array, Int64Array
from indexer.storage.packing import Records, pack, rough_scores, unpack, width

# Ids that lie at most so many places apart on average, and at least so many of them, are read in one piece.
DENSE, MANY = 4, 256

# Standard deviations that a rough score may be off and still be looked at exactly: more are one in 10**9.
DOUBT = 6


def vectors_file(catalog: Path, generation: int) -> Path:
    """Where the vectors of a catalog's generation are, or will be: one a library's encoder."""
    return catalog.with_name(f"{catalog.stem}.{generation}.vectors")


class StoredVectors:
    """Vectors of one dimension by their items' ids, in a file. Several threads may read."""

    def __init__(self, path: Path, dimension: int) -> None:
        self.path, self.dimension = path, dimension
        self._width = width(dimension)
        self._mapped: Records = np.empty((0, self._width), np.uint8)
        self._writing: FileIO | None = None

    # writing

    def write(self, ids: Int64Array, rows: Float32Array) -> None:
        """Puts rows `[n, dim]` into their places. Raises `LibraryFull`; nothing counts before the catalog says so."""
        self.write_records(ids, pack(rows))

    def write_records(self, ids: Int64Array, records: Records) -> None:
        """Puts vectors that are packed already into their places, as `write` does."""
        breaks = np.flatnonzero(np.diff(ids) != 1) + 1
        try:
            for own, following in zip(np.split(ids, breaks), np.split(records, breaks), strict=True):
                if len(own):
                    self._put(int(own[0]), following)
        except OSError as error:
            raise LibraryFull(self.path.parent, error.strerror) from error

    def _put(self, first: int, records: Records) -> None:
        """Writes records into the places from `first` on."""
        file = self._opened()
        file.seek(first * self._width)
        left = memoryview(records.tobytes())
        while left:
            left = left[file.write(left) :]

    def sync(self) -> None:
        """Returns when all that was written is on the disk."""
        if self._writing is None:
            return
        try:
            os.fsync(self._writing.fileno())
        except OSError as error:
            raise LibraryFull(self.path.parent, error.strerror) from error

    def _opened(self) -> FileIO:
        if self._writing is None:
            self.path.touch()
            self._writing = self.path.open("r+b", buffering=0)
        return self._writing

    def close(self) -> None:
        """Closes the file for writing; what was read from it stays."""
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    # reading

    def read(self, ids: Int64Array) -> Float32Array:
        """The vectors of ids, `[n, dim]`, in their order. Raises `LibraryDamaged` where the file is not so long."""
        return unpack(self._records(ids), self.dimension)

    def within(self, ids: Int64Array) -> Int64Array:
        """Those of the ids that have a place in the file: others were never stored."""
        return ids[ids < len(self)]

    def may_be_nearest(self, query: Float32Array, ids: Int64Array, k: int) -> Int64Array:
        """Those of the ids whose vectors may be among the `k` nearest of them to a query `[dim]`, see `DOUBT`."""
        if len(ids) <= k:
            return ids
        scores, deviations = rough_scores(self._records(ids), query)
        surely = np.partition(scores - DOUBT * deviations, -k)[-k]
        near: Int64Array = ids[scores + DOUBT * deviations >= surely]
        return near

    def check(self, last: int) -> None:
        """Raises `LibraryDamaged` unless the file reaches up to the id `last`."""
        if last >= len(self._mapped):
            self._map()
        if last and last >= len(self._mapped):
            raise LibraryDamaged(
                f"The vectors {self.path} are missing or cut short: put back the file that belongs to the catalog "
                f"beside it, or move {self.path.parent} away and index again."
            )

    def __len__(self) -> int:
        """How many places there are, from that of the id 0 on."""
        return max(len(self._mapped), self._size() // self._width)

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _records(self, ids: Int64Array) -> Records:
        if not len(ids):
            return self._mapped[:0]
        first, last = int(ids.min()), int(ids.max())
        self.check(last)
        if len(ids) >= MANY and last - first < DENSE * len(ids):
            count = last - first + 1
            read = np.fromfile(self.path, np.uint8, count * self._width, offset=first * self._width)
            return np.take(read.reshape(count, self._width), ids - first, axis=0)
        return np.take(self._mapped, ids, axis=0)

    def _map(self) -> None:
        """Maps the file into memory as far as it reaches now; a map outlives its file, see `begin_generation`."""
        if self._size() < self._width:
            return
        with self.path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_RANDOM"):
            # 200 of a million that lie on the disk alone are read in 0.03 to 0.09 s; where the system reads around
            # each, in 0.6 to 0.8 s
            content.madvise(mmap.MADV_RANDOM)
        whole = len(content) // self._width
        self._mapped = np.frombuffer(content, np.uint8, whole * self._width).reshape(whole, self._width)

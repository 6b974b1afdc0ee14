"""The vectors themselves: one flat file beside the catalog, in which an item's id is its vector's place.

Apart from SQLite because most that is asked of them is a few hundred by their ids, scattered over all: of a million of
512 dimensions 300 take 0.26 ms here, and 1.9 ms as rows of a table. The catalog says which of them count: what it has
not committed is overwritten by whoever gets the id next, and an id's vector never changes.

Vectors are unit rows, of whose bytes the catalog keeps checksums. One that is not as it was written is said to be
damaged, and is no answer.
"""

from __future__ import annotations

import mmap
import os
import warnings
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.errors import DamageWarning, LibraryDamaged, LibraryError, cannot_write, reason_of
from indexer.items import Float32Array, Int64Array
from indexer.storage.packing import Records, approximate_scores, pack, unpack, width

# Ids that lie at most so many places apart on average, in pieces of so many, are read in one piece.
DENSE, BLOCK = 4, 512

# Standard deviations that an approximate score may be off and still be looked at exactly: more are one in 10**9.
DEVIATIONS = 6

# What no approximate score of unit vectors exceeds, nor its deviation.
BEYOND = 1.2

# How far from one the length of a vector may be.
ROUNDED = 0.01

# Places that share a checksum. 100,000 vectors of 256 dimensions are compared with theirs in 3.0 ms, most of it the
# reading; with 32 or 256 places a checksum in 3.5 and 1.5, with one of each vector in 12 and as long again in SQLite.
SEALED = 64

# Bytes of the checksum of each vector, by which those are told that are damaged.
OF_EACH = 4


def vectors_file(catalog: Path, generation: int) -> Path:
    """Where the vectors of a catalog's generation are, or will be: one a library's encoder."""
    return catalog.with_name(f"{catalog.stem}.{generation}.vectors")


def is_sound(rows: Float32Array) -> npt.NDArray[np.bool_]:
    """Which of the rows `[n, dim]` have the length of one."""
    with np.errstate(over="ignore", invalid="ignore"):
        sound: npt.NDArray[np.bool_] = np.abs(np.sqrt(np.vecdot(rows, rows)) - 1) < ROUNDED
    return sound


class Seal(NamedTuple):
    """Checksums (XXH3) of `length` places from `first` on, as they were written: of all, and of each."""

    first: int
    length: int
    digest: bytes
    each: bytes


# The seals of the places that some ids lie in; of all places for None.
Seals = Callable[[Collection[int] | None], Iterable[Seal]]


class StoredVectors:
    """Vectors of one dimension by their items' ids, in a file. Several threads may read.

    `seals` tells the checksums that the catalog keeps; without it, damage is told by the lengths alone.
    """

    def __init__(self, path: Path, dimension: int, seals: Seals = lambda _: ()) -> None:
        self.path, self.dimension = path, dimension
        self._seals = seals
        self._width = width(dimension)
        self._scattered: Records = np.empty((0, self._width), np.uint8)
        self._in_order = self._scattered
        self._reading: int | None = None  # a descriptor: it is closed with the last who reads
        self._writing: FileIO | None = None
        self._looked_through = False
        self._compared: set[int] = set()  # ids that were compared with their seals
        self._damaged: set[int] = set()  # ids, which were said to be

    # writing

    def write(self, ids: Int64Array, rows: Float32Array) -> None:
        """Puts rows `[n, dim]` into their places; nothing counts before the catalog says so.

        Raises `LibraryFull`, or `LibraryError` where it may not be written.
        """
        self.write_records(ids, pack(rows))

    def write_records(self, ids: Int64Array, records: Records) -> None:
        """Puts vectors that are packed already into their places, as `write` does."""
        breaks = np.flatnonzero(np.diff(ids) != 1) + 1
        with self._written():
            for own, following in zip(np.split(ids, breaks), np.split(records, breaks), strict=True):
                if len(own):
                    self._put(int(own[0]), following)

    def _put(self, first: int, records: Records) -> None:
        """Writes records into the places from `first` on."""
        if self._writing is None:
            self.path.touch()
            self._writing = self.path.open("r+b", buffering=0)
        self._writing.seek(first * self._width)
        left = memoryview(records.tobytes())
        while left:
            left = left[self._writing.write(left) :]

    def sync(self) -> None:
        """Returns when all that was written is on the disk."""
        if self._writing is not None:
            with self._written():
                os.fsync(self._writing.fileno())

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self.path.parent, self.path.name, error) from error

    def close(self) -> None:
        """Closes the file for writing; what is read from it stays."""
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    # reading

    def read(self, ids: Int64Array) -> Float32Array:
        """The vectors of ids, `[n, dim]`, in their order; damaged ones are zero, and said to be damaged.

        Raises `LibraryDamaged` where the file is not so long.
        """
        rows = np.empty((len(ids), self.dimension), np.float32)
        for start, records in self._blocks(ids):
            rows[start : start + len(records)] = unpack(records, self.dimension)
        if not (sound := is_sound(rows)).all():
            self._say(ids[~sound])
            rows[~sound] = 0
        if self._damaged:
            rows[np.isin(ids, [*self._damaged])] = 0
        return rows

    def within(self, ids: Int64Array) -> Int64Array:
        """Those of the ids that have a place in the file: others were never stored."""
        return ids[ids < len(self)]

    def may_be_nearest(self, query: Float32Array, ids: Int64Array, k: int) -> Int64Array:
        """Those of the ids whose vectors may be among the `k` nearest of them to a query `[dim]`, see `DEVIATIONS`."""
        if len(ids) <= k:
            return ids
        scores, deviations = np.empty(len(ids), np.float32), np.empty(len(ids), np.float32)
        for start, records in self._blocks(ids):
            part = slice(start, start + len(records))
            scores[part], deviations[part] = approximate_scores(records, query)
        # of a vector that is damaged the scores may be beyond any cosine: it is looked at, and hides no other
        beyond = ~((np.abs(scores) < BEYOND) & (deviations < BEYOND))
        scores[beyond], deviations[beyond] = 0, BEYOND
        surely = np.partition(scores - DEVIATIONS * deviations, -k)[-k]
        near: Int64Array = ids[scores + DEVIATIONS * deviations >= surely]
        return near

    # damage

    def seal(self, start: int, end: int, doubtful: Collection[int] = ()) -> Iterator[Seal]:
        """The seals of the places from `start` to before `end`, as they are now; `doubtful` ones count as damaged."""
        self.check(end - 1)
        for first in range(start, end, SEALED):
            records = self._in_order[first : min(first + SEALED, end)]
            sums = [
                bytes(OF_EACH) if id in doubtful else _checksum(record)[:OF_EACH]
                for id, record in enumerate(records, start=first)
            ]
            digest = b"" if bytes(OF_EACH) in sums else _checksum(records)
            yield Seal(first, len(records), digest, b"".join(sums))

    def damaged(self, ids: Int64Array) -> Int64Array:
        """Those of the ids whose vectors are not as they were written."""
        if not len(ids):
            return ids
        self.check(int(ids.max()))
        seals = list(self._seals(None))
        return self._among(seals, ids) if seals else self.unsound(ids)

    def unsound(self, ids: Int64Array) -> Int64Array:
        """Those of the ids whose vectors are not of unit length, which the damaged ones of a file without seals are."""
        found = [
            ids[start : start + len(records)][~is_sound(unpack(records, self.dimension))]
            for start, records in self._blocks(ids)
        ]
        return np.concatenate([ids[:0], *found])

    def _among(self, seals: Iterable[Seal], ids: Int64Array) -> Int64Array:
        """Those of the ids that lie in places which are not as the seals have them."""
        unlike = [id for seal in seals for id in self._unlike(seal)]
        return ids[np.isin(ids, unlike)] if unlike else ids[:0]

    def _unlike(self, seal: Seal) -> Collection[int]:
        """The ids of the places that are not as the seal has them."""
        records = self._in_order[seal.first : seal.first + seal.length]
        if _checksum(records) == seal.digest:
            return ()
        sums = [seal.each[place : place + OF_EACH] for place in range(0, len(seal.each), OF_EACH)]
        unlike = [
            id
            for id, (record, own) in enumerate(zip(records, sums, strict=False), start=seal.first)
            if _checksum(record)[:OF_EACH] != own
        ]
        return unlike or range(seal.first, seal.first + seal.length)

    def look_through(self, ids: Int64Array) -> None:
        """Compares all vectors with their seals, the first time; those of the ids that are damaged are said to be."""
        if not self._looked_through:
            self._looked_through = True
            self._say(self.damaged(ids))

    def are_sound(self, ids: Int64Array) -> bool:
        """Whether some few vectors are as they were written; those that are not are said to be, and read as zero."""
        new = set() if self._looked_through else {*ids.tolist()} - self._compared
        if new:
            self._compared |= new
            self._say(self._among(self._seals(new), ids))
        return self._damaged.isdisjoint(ids.tolist())

    def _say(self, ids: Int64Array) -> None:
        new = [id for id in ids.tolist() if id not in self._damaged]
        if new:
            self._damaged.update(new)
            named = ", ".join(map(str, new[:3])) + (" ..." if len(new) > 3 else "")
            warnings.warn(
                f"{len(new)} vectors in {self.path} are damaged (ids {named}) and are left out: `descry index` makes "
                "them anew.",
                DamageWarning,
                stacklevel=2,
            )

    def check(self, last: int) -> None:
        """Raises `LibraryDamaged` unless the file reaches up to the id `last`, `LibraryError` if it may not be read."""
        if last >= len(self._scattered):
            self._map()
        if last and last >= len(self._scattered):
            raise LibraryDamaged(
                f"The vectors {self.path} are missing or cut short: put back the file that belongs to the catalog "
                f"beside it, or move {self.path.parent} away and index again."
            )

    def __len__(self) -> int:
        """How many places there are, from that of the id 0 on."""
        return max(len(self._scattered), self._size() // self._width)

    def _size(self) -> int:
        if self._reading is not None:
            return os.fstat(self._reading).st_size
        return self.path.stat().st_size if self.path.exists() else 0

    def _blocks(self, ids: Int64Array) -> Iterator[tuple[int, Records]]:
        """The records of ids in their order, in blocks that stay in the cache, each with where it begins."""
        if len(ids):
            self.check(int(ids.max()))
        for start in range(0, len(ids), BLOCK):
            own = ids[start : start + BLOCK]
            first, last = int(own[0]), int(own[-1])
            if last - first == len(own) - 1 and (np.diff(own) == 1).all():
                yield start, self._in_order[first : last + 1]
            else:
                is_dense = 0 <= last - first < DENSE * len(own)
                yield start, np.take(self._in_order if is_dense else self._scattered, own, axis=0)

    def _map(self) -> None:
        """Maps the file into memory as far as it reaches now, twice: to be read in order, and here and there.

        It stays open, so that who has an old generation reads on when another has taken its place.
        """
        try:
            if self._size() < self._width:
                return
            if self._reading is None:
                self._reading = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
                weakref.finalize(self, os.close, self._reading)
            maps = [mmap.mmap(self._reading, 0, access=mmap.ACCESS_READ) for _ in range(2)]
        except OSError as error:
            raise LibraryError(f"The vectors {self.path} cannot be read ({reason_of(error)}): see who may.") from error
        if hasattr(mmap, "MADV_RANDOM"):
            # 200 of a million that lie on the disk alone are read in 0.03 to 0.09 s; where the system reads around
            # each, in 0.6 to 0.8 s
            maps[1].madvise(mmap.MADV_RANDOM)
        whole = len(maps[0]) // self._width
        self._in_order, self._scattered = (
            np.frombuffer(content, np.uint8, whole * self._width).reshape(whole, self._width) for content in maps
        )


def _checksum(records: Records) -> bytes:
    import xxhash  # late: an index that finds nothing needs none

    return xxhash.xxh3_64_digest(records.data)

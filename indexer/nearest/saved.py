"""Saved indexes as numpy arrays: what FAISS wrote, mapped into memory without FAISS.

Of importing FAISS and asking it one question the import is nearly all: 65 ms and 25 MB, and 100 ms and 200 MB more
with the libraries of CUDA, which its wheel for GPUs loads also where there is none. Here the two kinds of index that
Descry writes are read by FAISS's own format (faiss, `impl/index_write.cpp`), in which a kind's four letters stand for
one layout for good. Anything else, and a file that does not end where it should, is left to FAISS.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.items import Float32Array, Int64Array

# Bytes behind FAISS's own in a saved index: the revision. FAISS reads what is its own and no further.
STAMP = 8

# As FAISS numbers them.
INNER_PRODUCT = 0
HALF_PRECISION = 4

HALF = np.dtype("<f2")
ID = np.dtype("<i8")

# What stands before the revision of an inverted file.
MAGIC = b"descryIV"

Float16Array = npt.NDArray[np.float16]
Codes = npt.NDArray[np.void]


class SavedExact(NamedTuple):
    """An exact index: `rows` `[n, dim]` of `ids` `[n]`. `revision` is the catalog's state that they stand for."""

    revision: int
    ids: Int64Array
    rows: Float16Array

    @property
    def dimension(self) -> int:
        """The vectors' length."""
        return int(self.rows.shape[1])


class SavedInverted(NamedTuple):
    """An inverted file: codes of the vectors in lists around `centroids` `[lists, dim]`, see `inverted`.

    Centroids and codes are of vectors turned by `rotation` `[dim, dim]`. A question scans `nprobe` lists at least and
    reads the `depth` best by their codes again; `sample` `[m, dim]` stands for all. Of the lists, `sizes` `[lists]`
    each, the first begins `at` bytes from the beginning of the file.
    """

    content: mmap.mmap
    revision: int
    centroids: Float32Array
    rotation: Float32Array
    sample: Float16Array
    nprobe: int
    depth: int
    sizes: Int64Array
    at: int

    @property
    def dimension(self) -> int:
        """The vectors' length."""
        return int(self.centroids.shape[1])

    @property
    def nlist(self) -> int:
        """How many lists there are."""
        return len(self.sizes)

    @property
    def total(self) -> int:
        """How many vectors there are."""
        return int(self.sizes.sum())

    def lists(self, numbers: Iterable[int]) -> Iterator[tuple[int, Codes, Int64Array]]:
        """Lists by their numbers, each with its codes (see `code`) and its ids, `[n]` both."""
        kind = code(self.dimension)
        ends = self.at + np.cumsum(self.sizes) * (kind.itemsize + ID.itemsize)
        for number in numbers:
            size = int(self.sizes[number])
            ids_at = int(ends[number]) - size * ID.itemsize
            codes = np.frombuffer(self.content, kind, size, ids_at - size * kind.itemsize)
            yield number, codes, np.frombuffer(self.content, ID, size, ids_at)


def code(dimension: int) -> np.dtype[Any]:
    """A vector's code: a sign a dimension, packed from the lowest bit on, and two numbers.

    For a residual r of the vector v to its centroid, of signs s: |r|^2 - |v|^2, and |r|^2 sqrt(dim) / (r . s).
    """
    return np.dtype([("signs", "u1", (dimension + 7) // 8), ("offset", "<f4"), ("factor", "<f4")])


def saved_revision(path: Path) -> int | None:
    """The revision of a saved index, read without opening it; None where there is no file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(-min(STAMP, path.stat().st_size), os.SEEK_END)
        return int.from_bytes(file.read(), "little")


def read_saved(path: Path) -> SavedExact | SavedInverted:
    """The index in a file, of which little more than the beginning is read.

    Raises `OSError` where there is none, and `ValueError` for a kind or a file that only FAISS may know.
    """
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    cursor = _Cursor(content)
    try:
        kind = cursor.letters()
        if kind not in _KINDS:
            raise ValueError(f"{path} is an index of the kind {kind!r}")
        index = _KINDS[kind](cursor)
    except struct.error as error:
        raise ValueError(f"{path} ends early") from error
    if cursor.place != len(content):
        raise ValueError(f"{path} does not end where it should")
    return index


class _Cursor:
    """A place in a file of FAISS's, moved on by what is read."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self.place = content, 0

    def numbers(self, form: str) -> tuple[Any, ...]:
        """Numbers one behind the other, in the letters of `struct`."""
        values = struct.unpack_from(f"<{form}", self.content, self.place)
        self.place += struct.calcsize(f"<{form}")
        return values

    def letters(self) -> bytes:
        """The four letters of a kind."""
        return bytes(self.numbers("4s")[0])

    def array(self, kind: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
        """So many numbers of a kind."""
        at = self.skip(count * np.dtype(kind).itemsize)
        return np.frombuffer(self.content, kind, count, at)

    def skip(self, size: int) -> int:
        """Where so many bytes begin, which are passed over."""
        at, self.place = self.place, self.place + size
        if size < 0 or self.place > len(self.content):
            raise struct.error
        return at

    def expect(self, form: str, *values: Any) -> None:
        """Raises `ValueError` unless these numbers come next."""
        if (found := self.numbers(form)) != values:
            raise ValueError(f"{found} instead of {values}")


def _header(cursor: _Cursor) -> tuple[int, int]:
    """What every index begins with: the vectors' length, and how many there are."""
    dimension, count = cursor.numbers("iq16x")
    cursor.expect("Bi", True, INNER_PRODUCT)  # trained, and the measure
    return dimension, count


def exact_header(dimension: int, count: int) -> bytes:
    """What stands before the vectors of an exact index: theirs follow, then `count` once more, then their ids."""
    index = struct.pack("<iqqqBi", dimension, count, 1 << 20, 1 << 20, True, INNER_PRODUCT)
    row = dimension * HALF.itemsize
    return (
        b"IxMp"
        + index
        + b"IxSQ"
        + index
        + struct.pack("<iif4q", HALF_PRECISION, 0, 0.0, dimension, row, 0, count * row)
    )


def _exact(cursor: _Cursor) -> SavedExact:
    """IDMap,SQfp16: all vectors, then all ids."""
    dimension, count = _header(cursor)
    cursor.expect("4s", b"IxSQ")
    if _header(cursor) != (dimension, count):
        raise ValueError("two numbers of vectors")
    cursor.expect("iif", HALF_PRECISION, 0, 0.0)
    cursor.expect("qqq", dimension, dimension * HALF.itemsize, 0)  # nothing was learnt
    cursor.expect("q", count * dimension * HALF.itemsize)
    rows = cursor.array(HALF, count * dimension).reshape(count, dimension)
    cursor.expect("q", count)
    ids = cursor.array(ID, count)
    (revision,) = cursor.numbers("q")
    return SavedExact(revision, ids, rows)


def _inverted(cursor: _Cursor) -> SavedInverted:
    """IVF,RaBitQ with a bit a dimension: each list's codes, then its ids; behind it what `Inverted.behind` writes."""
    dimension, count = _header(cursor)
    lists, probes = cursor.numbers("qq")
    cursor.expect("4s", b"IxFI")
    if _header(cursor) != (dimension, lists):
        raise ValueError("two numbers of lists")
    cursor.expect("q", lists * dimension)
    centroids = cursor.array("<f4", lists * dimension).reshape(lists, dimension)
    cursor.expect("Bq", 0, 0)  # no map from ids to places
    size = code(dimension).itemsize
    cursor.expect("qqiq?", dimension, size, INNER_PRODUCT, size, True)  # codes are of residuals
    cursor.numbers("B")  # to how many bits FAISS rounds a question
    cursor.expect("4sqq4sq", b"ilar", lists, size, b"full", lists)
    sizes = cursor.array(ID, lists)
    if sizes.min(initial=0) < 0 or sizes.sum() != count:
        raise ValueError("lists of other sizes than the index")
    at = cursor.skip(count * (size + ID.itemsize))
    rotation = cursor.array("<f4", dimension**2).reshape(dimension, dimension)
    depth, kept, magic, revision = struct.unpack("<qq8sq", cursor.content[-32:])
    if magic != MAGIC:
        raise ValueError("what stands behind it is not ours")
    sample = cursor.array(HALF, kept * dimension).reshape(kept, dimension)
    cursor.skip(32)
    return SavedInverted(cursor.content, revision, centroids, rotation, sample, probes, depth, sizes, at)


_KINDS: dict[bytes, Callable[[_Cursor], SavedExact | SavedInverted]] = {b"IxMp": _exact, b"Iwrq": _inverted}

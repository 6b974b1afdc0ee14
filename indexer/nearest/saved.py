"""Saved indexes: inverted files as FAISS writes them, sealed, and read into numpy arrays without FAISS.

A seal stands behind the content: its length, the revision of the catalog and the generation of vectors that the index
was made from, a checksum of every block of the content, and one of itself. Opening checks the seal; a block is checked
when something in it is read, so that a large index is opened at once and damage is found before it is believed.

Of importing FAISS and asking it one question the import is nearly all: 65 ms and 25 MB, and 100 ms and 200 MB more
with the libraries of CUDA, which its wheel for GPUs loads also where there is none. FAISS's own format (faiss,
`impl/index_write.cpp`), in which a kind's four letters stand for one layout for good, is read here instead.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.items import Float32Array, Int64Array

# Bytes of a block that has a checksum of its own: a list of a large index. 80 MB are checked in 8 ms.
BLOCK = 1 << 16

# Magic, length of the content, revision, generation; then the checksum of all these and of the blocks' checksums.
_SEAL = struct.Struct("<8sqq16s")
_MAGIC = b"descry03"
_SUM = np.dtype("<u8")

# As FAISS numbers them.
INNER_PRODUCT = 0

HALF = np.dtype("<f2")
ID = np.dtype("<i8")

# Behind FAISS's own content: the numbers of `behind`, and this.
_BEHIND = struct.Struct("<qq8s")
_IVF = b"descryIV"

Float16Array = npt.NDArray[np.float16]
Codes = npt.NDArray[np.void]


class DamagedIndex(ValueError):
    """A saved index whose bytes are not those that were written, or that is none."""


def seal(path: Path, *, revision: int, generation: str) -> None:
    """Puts the seal behind what was written to a file. Raises `OSError`."""
    import xxhash  # late: a question to an exact index reads no file

    with path.open("r+b") as file:
        sums = []
        while block := file.read(BLOCK):
            sums.append(xxhash.xxh3_64_intdigest(block))
        ends = np.array(sums, _SUM).tobytes() + _SEAL.pack(_MAGIC, file.tell(), revision, _digest(generation))
        file.write(ends + xxhash.xxh3_64_digest(ends))


def _digest(generation: str) -> bytes:
    import xxhash

    return xxhash.xxh3_128_digest(generation.encode())


class Sealed:
    """A sealed file, mapped into memory. Raises `DamagedIndex` for one that is none, `OSError` for none."""

    def __init__(self, path: Path) -> None:
        import xxhash

        self.path, self._sum = path, xxhash.xxh3_64_intdigest
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            self.stamp = status.st_ino, status.st_mtime_ns
            try:
                self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:  # an empty file
                raise self._damaged() from None
        try:
            at = len(self._content) - 8 - _SEAL.size
            magic, self.length, self.revision, self._generation = _SEAL.unpack_from(self._content, at)
        except struct.error:
            raise self._damaged() from None
        if magic != _MAGIC or not 0 <= self.length <= at:
            raise self._damaged()
        ends = self._content[self.length : -8]
        if xxhash.xxh3_64_digest(ends) != self._content[-8:] or at - self.length != -(-self.length // BLOCK) * 8:
            raise self._damaged()
        self._sums = np.frombuffer(ends, _SUM, (at - self.length) // 8)
        self._is_checked = np.zeros(len(self._sums), bool)

    def is_of(self, generation: str) -> bool:
        """Whether it was made from this generation of vectors."""
        return bool(self._generation == _digest(generation))

    def read(self, start: int, size: int) -> memoryview:
        """Some of the content, whose blocks are checked before. Raises `DamagedIndex`."""
        stop = start + size
        if not 0 <= start <= stop <= self.length:
            raise self._damaged()
        for number in range(start // BLOCK, -(-stop // BLOCK)):
            if not self._is_checked[number]:
                block = self._content[number * BLOCK : min(number * BLOCK + BLOCK, self.length)]
                if self._sum(block) != int(self._sums[number]):
                    raise self._damaged()
                self._is_checked[number] = True
        return memoryview(self._content)[start:stop]

    def check(self) -> None:
        """Checks all of it. Raises `DamagedIndex`."""
        for start in range(0, self.length, BLOCK):
            self.read(start, min(BLOCK, self.length - start))

    def _damaged(self) -> DamagedIndex:
        return DamagedIndex(f"the saved index {self.path} is damaged")


class SavedIVF(NamedTuple):
    """An inverted file: codes of the vectors in lists around `centroids` `[nlist, dim]`, see `ivf`.

    Centroids and codes are of vectors rotated by `rotation` `[dim, dim]`. A question scans `nprobe` lists at least and
    ranks the `refine_k` best by code exactly; `sample` `[m, dim]` stands for all. Of the lists, `sizes` `[nlist]` each,
    the first begins `at` bytes from the beginning of the file.
    """

    file: Sealed
    centroids: Float32Array
    rotation: Float32Array
    sample: Float16Array
    nprobe: int
    refine_k: int
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
        """Lists by their numbers, each with its codes (see `code`) and its ids, `[n]` both. Raises `DamagedIndex`."""
        kind = code(self.dimension)
        ends = self.at + np.cumsum(self.sizes) * (kind.itemsize + ID.itemsize)
        for number in numbers:
            size = int(self.sizes[number])
            length = size * (kind.itemsize + ID.itemsize)
            content = self.file.read(int(ends[number]) - length, length)
            codes = np.frombuffer(content, kind, size)
            yield number, codes, np.frombuffer(content, ID, size, size * kind.itemsize)


def code(dimension: int) -> np.dtype[Any]:
    """A vector's code: a sign a dimension, packed from the lowest bit on, and two numbers.

    For a residual r of the vector v to its centroid, of signs s: |r|^2 - |v|^2, and |r|^2 sqrt(dim) / (r . s).
    """
    return np.dtype([("signs", "u1", (dimension + 7) // 8), ("offset", "<f4"), ("factor", "<f4")])


def behind(rotation: Float32Array, sample: Float16Array, refine_k: int) -> bytes:
    """What stands behind FAISS's own content."""
    numbers = _BEHIND.pack(refine_k, len(sample), _IVF)
    return rotation.astype("<f4").tobytes() + sample.astype(HALF).tobytes() + numbers


def read_ivf(file: Sealed) -> SavedIVF:
    """The inverted file in a sealed one, of which little more than the beginning is read. Raises `DamagedIndex`."""
    try:
        return _ivf(_Cursor(file))
    except (struct.error, ValueError) as error:
        raise DamagedIndex(f"the saved index {file.path} is damaged ({error})") from error


class _Cursor:
    """A place in a file of FAISS's, moved on by what is read."""

    def __init__(self, file: Sealed) -> None:
        self.file, self.place = file, 0

    def numbers(self, form: str) -> tuple[Any, ...]:
        """Numbers one behind the other, in the letters of `struct`."""
        size = struct.calcsize(f"<{form}")
        return struct.unpack(f"<{form}", self.file.read(self.skip(size), size))

    def array(self, kind: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
        """So many numbers of a kind."""
        size = count * np.dtype(kind).itemsize
        return np.frombuffer(self.file.read(self.skip(size), size), kind, count)

    def skip(self, size: int) -> int:
        """Where so many bytes begin, which are passed over."""
        if size < 0:
            raise struct.error("a negative length")
        at, self.place = self.place, self.place + size
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


def _ivf(cursor: _Cursor) -> SavedIVF:
    """IVF,RaBitQ with a bit a dimension: each list's codes, then its ids; then what `behind` gives."""
    cursor.expect("4s", b"Iwrq")
    dimension, count = _header(cursor)
    nlist, nprobe = cursor.numbers("qq")
    cursor.expect("4s", b"IxFI")
    if _header(cursor) != (dimension, nlist):
        raise ValueError("two numbers of lists")
    cursor.expect("q", nlist * dimension)
    centroids = cursor.array("<f4", nlist * dimension).reshape(nlist, dimension)
    cursor.expect("Bq", 0, 0)  # no map from ids to places
    size = code(dimension).itemsize
    cursor.expect("qqiq?", dimension, size, INNER_PRODUCT, size, True)  # codes are of residuals
    cursor.numbers("B")  # to how many bits FAISS rounds a question
    cursor.expect("4sqq4sq", b"ilar", nlist, size, b"full", nlist)
    sizes = cursor.array(ID, nlist)
    if sizes.min(initial=0) < 0 or sizes.sum() != count:
        raise ValueError("lists of other sizes than the index")
    at = cursor.skip(count * (size + ID.itemsize))
    rotation = cursor.array("<f4", dimension**2).reshape(dimension, dimension)
    refine_k, kept, magic = _BEHIND.unpack(cursor.file.read(cursor.file.length - _BEHIND.size, _BEHIND.size))
    sample = cursor.array(HALF, kept * dimension).reshape(kept, dimension)
    if magic != _IVF or cursor.place + _BEHIND.size != cursor.file.length:
        raise ValueError("it does not end where it should")
    return SavedIVF(cursor.file, centroids, rotation, sample, nprobe, refine_k, sizes, at)

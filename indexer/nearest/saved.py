"""Inverted files (IVF) as they are saved: sealed, read without FAISS, and asked in numpy for a first question.

A seal stands behind the content: its length, the revision of the catalog and the generation of vectors that the index
was made from, a checksum of every block of the content, and one of itself. Opening checks the seal; a block is checked
when something in it is read, so that a large index is opened at once and damage is found before it is believed.

Importing FAISS takes 65 ms and 25 MB, and 100 ms and 200 MB more with the libraries of CUDA, which its wheel for GPUs
loads also where there is none. So FAISS's own format (faiss, `impl/index_write.cpp`), in which a kind's four letters
stand for one layout for good, is read here.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.items import Float32Array, Int64Array, evenly_spaced
from indexer.nearest.exact import best
from indexer.nearest.ivf_parameters import nprobe_for

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


def code(dimension: int) -> np.dtype[Any]:
    """A vector's code: a sign a dimension, packed from the lowest bit on, and two numbers.

    For a residual r of the vector v to its centroid, of signs s: |r|^2 - |v|^2, and |r|^2 sqrt(dim) / (r . s).
    """
    return np.dtype([("signs", "u1", (dimension + 7) // 8), ("offset", "<f4"), ("factor", "<f4")])


def behind(rotation: Float32Array, sample: Float16Array, refine_k: int) -> bytes:
    """What stands behind FAISS's own content."""
    numbers = _BEHIND.pack(refine_k, len(sample), _IVF)
    return rotation.astype("<f4").tobytes() + sample.astype(HALF).tobytes() + numbers


class MappedIVF:
    """An inverted file in numpy, mapped from where it was saved; see `ivf.IVF`, whose questions it takes one by one.

    `rotation` is `[dim, dim]`, `sample` `[m, dim]` stands for all vectors. Looking at 10,000 codes of 512 dimensions
    takes 6 ms instead of FAISS's 0.7. All of it may raise `DamagedIndex`.
    """

    def __init__(self, file: Sealed) -> None:
        """Little more than the beginning is read."""
        self.file = file
        try:
            self._read(_Cursor(file))
        except (struct.error, ValueError) as error:
            raise DamagedIndex(f"the saved index {file.path} is damaged ({error})") from error

    def _read(self, cursor: _Cursor) -> None:
        """FAISS's IVF,RaBitQ with a bit a dimension: each list's codes, then its ids; then what `behind` gives."""
        cursor.expect("4s", b"Iwrq")
        dimension, count = _header(cursor)
        nlist, self.nprobe = cursor.numbers("qq")
        cursor.expect("4s", b"IxFI")
        if _header(cursor) != (dimension, nlist):
            raise ValueError("two numbers of lists")
        cursor.expect("q", nlist * dimension)
        self._centroids = cursor.array("<f4", nlist * dimension).reshape(nlist, dimension)  # rotated
        cursor.expect("Bq", 0, 0)  # no map from ids to places
        self._code = code(dimension)
        size = self._code.itemsize
        cursor.expect("qqiq?", dimension, size, INNER_PRODUCT, size, True)  # codes are of residuals
        cursor.numbers("B")  # to how many bits FAISS rounds a question
        cursor.expect("4sqq4sq", b"ilar", nlist, size, b"full", nlist)
        sizes = cursor.array(ID, nlist)
        if sizes.min(initial=0) < 0 or sizes.sum() != count:
            raise ValueError("lists of other sizes than the index")
        self._sizes, self._ends = sizes, cursor.place + np.cumsum(sizes) * (size + ID.itemsize)
        cursor.skip(count * (size + ID.itemsize))
        self.rotation = cursor.array("<f4", dimension**2).reshape(dimension, dimension)
        end = self.file.length - _BEHIND.size
        self.refine_k, kept, magic = _BEHIND.unpack(self.file.read(end, _BEHIND.size))
        self.rows = cursor.array(HALF, kept * dimension).reshape(kept, dimension)
        if magic != _IVF or cursor.place != end:
            raise ValueError("it does not end where it should")

    def __len__(self) -> int:
        return int(self._sizes.sum())

    def by_code(self, queries: Float32Array, refine_k: int, k: int, gone: Int64Array) -> Int64Array:
        """The ids `[q, refine_k]` whose codes are nearest, but for those that are gone; -1 where there are fewer."""
        found = [self._by_code(query @ self.rotation, refine_k, k, gone) for query in queries]
        return np.stack(found) if found else np.empty((0, refine_k), np.int64)

    def _by_code(self, rotated: Float32Array, refine_k: int, k: int, gone: Int64Array) -> Int64Array:
        nearest = np.argsort(-(self._centroids @ rotated))  # (nlist, dim) @ (dim) -> (nlist)
        probed = nprobe_for(self.nprobe, len(nearest), k, len(self), len(self))
        scores, ids = self._estimated(rotated, nearest[:probed], gone)
        if len(ids) < k:  # the lists nearest to a query may hold too few
            scores, ids = self._estimated(rotated, nearest, gone)
        return best(scores, ids, refine_k)[1]

    def _estimated(self, rotated: Float32Array, lists: Int64Array, gone: Int64Array) -> tuple[Float32Array, Int64Array]:
        """What the codes say of what is in lists: scores and ids, `[n]` each."""
        parts = [
            (estimates(codes, rotated, self._centroids[at]), ids) for at, codes, ids in self._lists(lists.tolist())
        ]
        scores, ids = (np.concatenate(part) for part in zip(*parts, strict=True))
        if len(gone):
            there = ~np.isin(ids, gone)
            scores, ids = scores[there], ids[there]
        return scores, ids

    def _lists(self, numbers: Iterable[int]) -> Iterator[tuple[int, Codes, Int64Array]]:
        """Lists by their numbers, each with its codes (see `code`) and its ids, `[n]` both."""
        for number in numbers:
            size = int(self._sizes[number])
            length = size * (self._code.itemsize + ID.itemsize)
            content = self.file.read(int(self._ends[number]) - length, length)
            codes = np.frombuffer(content, self._code, size)
            yield number, codes, np.frombuffer(content, ID, size, size * self._code.itemsize)

    def held(self, ids: Int64Array) -> Int64Array:
        """Which of the ids it holds."""
        if not len(ids):
            return ids
        return np.intersect1d(ids, np.concatenate([own for _, _, own in self._lists(range(len(self._sizes)))]))

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all: up to `count` of those that were seen when the lists were made."""
        return self.rows[evenly_spaced(len(self.rows), count)].astype(np.float32)


def estimates(codes: Codes, query: Float32Array, centroid: Float32Array) -> Float32Array:
    """What the codes of a list say of the cosines `[n]` with a query: Gao and Long, "RaBitQ" (2024)."""
    dimension = len(query)
    residual = query - centroid
    signs = np.unpackbits(codes["signs"], axis=1, count=dimension, bitorder="little")  # (n, dim), 0 or 1
    product = (2 * (signs @ residual) - residual.sum()) / math.sqrt(dimension)
    apart = codes["offset"] + residual @ residual - 2 * codes["factor"] * product
    return np.asarray((query @ query - apart) / 2, np.float32)


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

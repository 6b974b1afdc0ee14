"""Exports as NumPy's `.npz`: one array a column, written and read piece by piece.

`numpy.load` opens them, without pickles; its own `savez` would need all of it in memory.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from indexer.transfer.batches import (
    COLUMNS,
    LONGEST,
    NUMBERS,
    Batch,
    Contents,
    Origin,
    entries_of,
    is_dimension,
    origin_of,
    readable,
    rows_of_bytes,
)

WHAT = "is no whole export of Descry"

# The flag of a member of a zip that wants a password.
ENCRYPTED = 1

# Bytes of one value, a text of four bytes a character as the longest.
MOST_BYTES = 4 * LONGEST


def write(contents: Contents, path: Path) -> None:
    """Writes `encoder`, `checksum`, `id`, the `COLUMNS` as `[n]`, and `vector` as `[n, dim]` float16."""
    count = len(contents)
    with ZipFile(path, "w") as archive:
        for name, value in contents.origin._asdict().items():
            with _column(archive, name, np.asarray(value).dtype, ()) as file:
                file.write(np.asarray(value).tobytes())
        for name in ("id", *COLUMNS):
            dtype = np.dtype("<i8" if name in NUMBERS else f"<U{max(1, contents.longest(name))}")
            with _column(archive, name, dtype, (count,)) as file:
                for rows in contents.columns(name, at_once=rows_of_bytes(dtype.itemsize)):
                    file.write(np.array([value for (value,) in rows], dtype).tobytes())
        # float16 hardly compresses
        with _column(archive, "vector", np.dtype("<f2"), (count, contents.dimension), ZIP_STORED) as file:
            for rows in contents.columns("id"):
                file.write(contents.float16_rows([id for (id,) in rows]).tobytes())


def _column(
    archive: ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], compression: int = ZIP_DEFLATED
) -> IO[bytes]:
    """An array in the archive, of which the header is written and the values are to follow."""
    member = ZipInfo(f"{name}.npy")
    member.compress_type = compression
    file = archive.open(member, "w", force_zip64=True)
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)
    return file


class Member:
    """An array of the archive that is read from its beginning, some rows at a time.

    Nothing is unpacked before its size is known to be what its header and `shape` say. Raises `ValueError`.
    """

    def __init__(self, archive: ZipFile, name: str, kinds: str) -> None:
        """`kinds` are those of numpy's types that are taken."""
        member = archive.getinfo(f"{name}.npy")
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED) or member.flag_bits & ENCRYPTED:
            raise ValueError(f"{name} is not packed as Descry packs")
        self._file = archive.open(member)
        if npy.read_magic(self._file) != (1, 0):
            raise ValueError(f"{name} is of a newer format")
        self.shape, is_fortran, self.dtype = npy.read_array_header_1_0(self._file)
        if self.dtype.kind not in kinds or is_fortran:
            raise ValueError(f"{name} is {self.dtype}")
        if any(side < 0 for side in self.shape):
            raise ValueError(f"{name} has the shape {self.shape}")
        self.row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        if self.row_bytes > MOST_BYTES:
            raise ValueError(f"{name} has values of {self.row_bytes:,} bytes")
        if member.file_size != self._file.tell() + math.prod(self.shape) * self.dtype.itemsize:
            raise ValueError(f"{name} is not as long as its shape {self.shape} says")

    def take(self, count: int) -> npt.NDArray[Any]:
        """The next rows. Raises `ValueError` if there are fewer."""
        shape = (count, *self.shape[1:])
        return np.frombuffer(self._file.read(count * self.row_bytes), self.dtype).reshape(shape)


class Npz:
    """An export, opened. Raises `PathError` for a file that is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with readable(self.path, WHAT):
            with path.open("rb") as file, ZipFile(file) as archive:
                self.origin: Origin | None = origin_of(*(_told(archive, name) for name in Origin._fields))
                vectors, columns = _members(archive)
            if len(vectors.shape) != 2 or not is_dimension(vectors.shape[1]):
                raise ValueError(f"vector has the shape {vectors.shape}")
            self._count, self.dimension = vectors.shape
            for name, column in zip(COLUMNS, columns, strict=True):
                if column.shape != (self._count,):
                    raise ValueError(f"{name} has the shape {column.shape}, not {(self._count,)}")
            self._rows = rows_of_bytes(max(column.row_bytes for column in (vectors, *columns)))

    def __len__(self) -> int:
        return self._count

    def batches(self) -> Generator[Batch, None, None]:
        """All columns, some thousand rows at a time."""
        with readable(self.path, WHAT), self.path.open("rb") as file, ZipFile(file) as archive:
            vectors, members = _members(archive)
            for start in range(0, self._count, self._rows):
                count = min(self._rows, self._count - start)
                columns = [member.take(count).tolist() for member in members]
                with np.errstate(over="ignore"):  # what is too large for float32 is refused as infinite
                    rows = vectors.take(count).astype(np.float32)
                entries = entries_of(self.path.name, start + 1, columns)
                yield Batch(entries, rows, self.path.name, range(start + 1, start + 1 + count))


def _members(archive: ZipFile) -> tuple[Member, list[Member]]:
    """The vectors and the columns."""
    columns = [Member(archive, name, "iu" if name in NUMBERS else "U") for name in COLUMNS]
    return Member(archive, "vector", "f"), columns


def _told(archive: ZipFile, name: str) -> str:
    member = Member(archive, name, "U")
    if member.shape != ():
        raise ValueError(f"{name} is no single text")
    return str(member.take(1)[0])

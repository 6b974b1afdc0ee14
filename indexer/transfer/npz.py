"""Exports as NumPy's `.npz`: one array a column, written and read piece by piece.

`numpy.load` opens them, without pickles; its own `savez` would need all of it in memory.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from indexer.errors import PathError
from indexer.transfer.batches import BATCH, Batch, Block, Origin, entry
from indexer.transfer.contents import COLUMNS, NUMBERS, Contents


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
                for rows in contents.columns(name):
                    file.write(np.array([value for (value,) in rows], dtype).tobytes())
        # halves hardly compress
        with _column(archive, "vector", np.dtype("<f2"), (count, contents.dimension), ZIP_STORED) as file:
            for rows in contents.columns("id"):
                file.write(contents.halves([id for (id,) in rows]).tobytes())


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
    """An array of the archive that is read from its beginning, some rows at a time."""

    def __init__(self, archive: ZipFile, name: str) -> None:
        self._file = archive.open(f"{name}.npy")
        if npy.read_magic(self._file) != (1, 0):
            raise ValueError(f"{name} is of a newer format")
        self.shape, self._is_fortran, self._dtype = npy.read_array_header_1_0(self._file)
        if self._dtype.hasobject or self._is_fortran:
            raise ValueError(f"{name} is no plain array")

    def take(self, count: int) -> npt.NDArray[Any]:
        """The next rows. Raises `ValueError` if there are fewer."""
        shape = (count, *self.shape[1:])
        return np.frombuffer(self._file.read(math.prod(shape) * self._dtype.itemsize), self._dtype).reshape(shape)


class Npz:
    """An export, opened. Raises `PathError` for a file that is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._readable():
            self._archive = ZipFile(path)
            with np.load(path) as arrays:
                self.origin: Origin | None = Origin(str(arrays["encoder"]), str(arrays["checksum"]))
            self._count, self.dimension = Member(self._archive, "vector").shape
            for name in COLUMNS:
                if (shape := Member(self._archive, name).shape) != (self._count,):
                    raise ValueError(f"{name} has the shape {shape}, not {(self._count,)}")

    def __len__(self) -> int:
        return self._count

    def blocks(self) -> Iterator[Block]:
        """The vectors, `BATCH` rows at a time."""
        with self._readable():
            vectors = Member(self._archive, "vector")
            for start, count in self._pieces():
                yield Block(self.path.name, start + 1, vectors.take(count))

    def batches(self) -> Iterator[Batch]:
        """All columns, `BATCH` rows at a time."""
        with self._readable():
            members = [Member(self._archive, name) for name in COLUMNS]
            vectors = Member(self._archive, "vector")
            for _, count in self._pieces():
                columns = [member.take(count).tolist() for member in members]
                entries = [entry(*values) for values in zip(*columns, strict=True)]
                yield Batch(entries, vectors.take(count).astype(np.float32))

    def _pieces(self) -> Iterator[tuple[int, int]]:
        for start in range(0, self._count, BATCH):
            yield start, min(BATCH, self._count - start)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, BadZipFile, zlib.error, KeyError, ValueError) as error:
            raise PathError(f"{self.path} is no whole export of Descry ({error}).") from error

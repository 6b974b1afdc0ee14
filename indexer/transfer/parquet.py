"""Exports as Parquet: a table with a row an item, as data tools like it. Needs the package pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from indexer.errors import PathError
from indexer.transfer.batches import BATCH, Batch, Block, Origin, entry
from indexer.transfer.contents import COLUMNS, NUMBERS, Contents


def pyarrow_for(path: Path) -> Any:
    """The package, with `pyarrow.parquet` imported. Raises `PathError`, which says how to get it."""
    try:
        import pyarrow.parquet  # late: it takes longer to import than a search takes
    except ImportError as error:
        raise PathError(f"{path} needs the package pyarrow: pip install 'descry[parquet]'.") from error
    return pyarrow


def write(contents: Contents, path: Path) -> None:
    """Writes `id`, the `COLUMNS` and `vector`, a list of float32 of fixed length; the encoder in the metadata.

    Not as float16, which the catalog holds: only the latest readers know it, and float32 holds the same values.
    """
    pa = pyarrow_for(path)
    names = ("id", *COLUMNS)
    fields = [(name, pa.int64() if name in NUMBERS else pa.string()) for name in names]
    vector = pa.list_(pa.float32(), contents.dimension)
    schema = pa.schema([*fields, ("vector", vector)], contents.origin._asdict())
    with pa.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in contents.columns(*names):
            columns = list(zip(*rows, strict=True))
            values = contents.halves(columns[0]).astype(np.float32).ravel()
            arrays = [pa.array(column, kind) for column, (_, kind) in zip(columns, fields, strict=True)]
            arrays.append(pa.FixedSizeListArray.from_arrays(values, contents.dimension))
            writer.write_batch(pa.record_batch(arrays, schema=schema))


class Parquet:
    """An export, opened. Raises `PathError` for a file that is none."""

    def __init__(self, path: Path) -> None:
        self.path, self._pa = path, pyarrow_for(path)
        with readable(path):
            self._file = self._pa.parquet.ParquetFile(path)
            schema = self._file.schema_arrow
            missing = {*COLUMNS, "vector"} - set(schema.names)
            if missing:
                raise ValueError(f"it lacks {', '.join(sorted(missing))}")
            told = schema.metadata or {}
            self.origin = Origin(told[b"encoder"].decode(), told[b"checksum"].decode()) if b"encoder" in told else None
            self.dimension = int(schema.field("vector").type.list_size)

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def blocks(self) -> Iterator[Block]:
        """The vectors, `BATCH` rows at a time."""
        start = 1
        with readable(self.path):
            for batch in self._file.iter_batches(BATCH, columns=["vector"]):
                yield Block(self.path.name, start, self._rows(batch))
                start += batch.num_rows

    def batches(self) -> Iterator[Batch]:
        """All columns, `BATCH` rows at a time."""
        with readable(self.path):
            for batch in self._file.iter_batches(BATCH, columns=[*COLUMNS, "vector"]):
                columns = [batch.column(name).to_pylist() for name in COLUMNS]
                yield Batch([entry(*values) for values in zip(*columns, strict=True)], self._rows(batch))

    def _rows(self, batch: Any) -> Any:
        values = batch.column("vector").flatten().to_numpy(zero_copy_only=False)
        return values.reshape(batch.num_rows, self.dimension).astype(np.float32)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what pyarrow says of a file that it cannot make sense of into a `PathError`."""
    try:
        yield
    # what pyarrow raises; an AttributeError comes of vectors that are no lists of fixed length
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PathError(f"{path} cannot be read as embeddings ({error}).") from error

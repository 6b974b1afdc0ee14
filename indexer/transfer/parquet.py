"""Exports as Parquet: a table with a row an item, as data tools like it. Needs the package pyarrow."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.errors import PathError
from indexer.transfer.batches import (
    BATCH,
    COLUMNS,
    NUMBERS,
    Batch,
    Contents,
    Origin,
    entries_of,
    is_dimension,
    origin_of,
    readable,
)

WHAT = "cannot be read as embeddings"

# Bytes of a group of rows, unpacked, that are taken: a group is what a reader may have to hold in memory.
LARGEST_GROUP = 1 << 30


def pyarrow_for(path: Path) -> Any:
    """The package, with `pyarrow.parquet` imported. Raises `PathError`, which says how to get it."""
    try:
        import pyarrow.parquet  # late: it takes longer to import than a search takes
    except ImportError as error:
        raise PathError(f"{path} needs the package pyarrow: pip install 'descry[parquet]'.") from error
    return pyarrow


def write(contents: Contents, path: Path) -> None:
    """Writes what a library holds."""
    rows = contents.columns("id", *COLUMNS)
    write_rows(
        path,
        contents.origin,
        contents.dimension,
        ((some, contents.float16_rows([id for id, *_ in some])) for some in rows),
    )


def write_rows(
    path: Path, origin: Origin, dimension: int, batches: Iterable[tuple[Sequence[Sequence[Any]], npt.NDArray[Any]]]
) -> None:
    """Writes `id`, the `COLUMNS` and `vector`, a list of float32 of fixed length; the encoder in the metadata.

    A batch is rows of `id` and the `COLUMNS`, and their vectors, `[n, dim]`. Not as float16, which the catalog holds:
    only the latest readers know it, and float32 holds the same values.
    """
    pa = pyarrow_for(path)
    fields = [(name, pa.int64() if name in NUMBERS else pa.string()) for name in ("id", *COLUMNS)]
    schema = pa.schema([*fields, ("vector", pa.list_(pa.float32(), dimension))], origin._asdict())
    with pa.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows, vectors in batches:
            columns = zip(*rows, strict=True)
            arrays = [pa.array(column, kind) for column, (_, kind) in zip(columns, fields, strict=True)]
            arrays.append(pa.FixedSizeListArray.from_arrays(vectors.astype(np.float32).ravel(), dimension))
            writer.write_batch(pa.record_batch(arrays, schema=schema))


class Parquet:
    """An export, opened. Raises `PathError` for a file that is none."""

    def __init__(self, path: Path) -> None:
        self.path, self._pa = path, pyarrow_for(path)
        with readable(path, WHAT):
            self._file = opened(path)
            schema = self._file.schema_arrow
            missing = {*COLUMNS, "vector"} - set(schema.names)
            if missing:
                raise ValueError(f"it lacks {', '.join(sorted(missing))}")
            told = schema.metadata or {}
            self.origin: Origin | None = (
                origin_of(told[b"encoder"].decode(), told[b"checksum"].decode()) if b"encoder" in told else None
            )
            self._check_types(schema)
            self.dimension = int(schema.field("vector").type.list_size)

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def batches(self) -> Generator[Batch, None, None]:
        """All columns, `BATCH` rows at a time."""
        start = 1
        with readable(self.path, WHAT):
            for batch in self._file.iter_batches(BATCH, columns=[*COLUMNS, "vector"]):
                columns = [batch.column(name).to_pylist() for name in COLUMNS]
                entries = entries_of(self.path.name, start, columns)
                numbers = range(start, start + batch.num_rows)
                yield Batch(entries, self._rows(batch), self.path.name, numbers)
                start += batch.num_rows

    def _check_types(self, schema: Any) -> None:
        types = self._pa.types
        for name in COLUMNS:
            kind = schema.field(name).type
            if not (
                types.is_integer(kind) if name in NUMBERS else types.is_string(kind) or types.is_large_string(kind)
            ):
                raise ValueError(f"{name} is {kind}")
        vector = schema.field("vector").type
        is_list = types.is_fixed_size_list(vector) and types.is_floating(vector.value_type)
        if not is_list or not is_dimension(vector.list_size):
            raise ValueError(f"vector is {vector}, no list of numbers of fixed length")

    def _rows(self, batch: Any) -> Any:
        vectors = batch.column("vector")
        if vectors.null_count:
            raise ValueError("a vector is missing")
        values = vectors.flatten().to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):  # what is too large for float32 is refused as infinite
            return values.reshape(batch.num_rows, self.dimension).astype(np.float32)


class Partitions:
    """A folder of such files, as `descry index --on ray` writes it, one after another."""

    PATTERN = "part-*.parquet"

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._paths = sorted(folder.glob(self.PATTERN))
        seen: dict[tuple[Origin | None, int], Path] = {}
        self._count = 0
        for path in self._paths:  # closed again: there may be more than a process may have open
            part = Parquet(path)
            self._count += len(part)
            seen.setdefault((part.origin, part.dimension), path)
        if len(seen) > 1:
            raise PathError(
                f"{' and '.join(path.name for path in seen.values())} in {folder} are of different encoders."
            )
        ((self.origin, self.dimension),) = seen

    def __len__(self) -> int:
        return self._count

    def batches(self) -> Generator[Batch, None, None]:
        """All of one file, then of the next."""
        for path in self._paths:
            yield from Parquet(path).batches()


def opened(path: Path) -> Any:
    """The file, of which only the description has been read. Raises `ValueError` where that asks for too much."""
    file = pyarrow_for(path).parquet.ParquetFile(path)
    for number in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(number).total_byte_size
        if not 0 <= size <= LARGEST_GROUP:
            raise ValueError(f"a group of its rows takes {size:,} bytes")
    return file

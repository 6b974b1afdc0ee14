"""What travels: items with what is known of their files, and their vectors, in batches that fit into memory.

Files that are imported are other people's. Here is decided what of them may enter a library: nothing that a later
command could stumble over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from indexer.errors import DescryError, PathError, first_line
from indexer.items import Float32Array, Item
from indexer.library import Library
from indexer.modalities import MODALITIES
from indexer.storage.files import LIMBO

# Items that are in memory at once, and that one transaction stores: 4 MB of vectors at 256 dimensions.
BATCH = 4096

# Characters of the longest text, path or facts: a passage has hundreds, and all of a batch are in memory at once.
LONGEST = 1_000_000

# Characters of the longest name of an encoder: an ensemble of checkpoints by their paths.
LONGEST_NAME = 10_000

# Bytes of one column that are in memory at once; of long texts fewer than `BATCH` are.
PIECE_BYTES = 64_000_000

# A vector's greatest length; the encoders that are published have 256 to 1,664.
LARGEST_DIMENSION = 65_536

# Of integers in JSON, those that every reader of it takes for what they are.
LARGEST_INTEGER = 2**53
# Pixels of a side: more than any format has.
LONGEST_SIDE = 2**31

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

_PART = re.compile(r"(?:[a-z]\d{1,9}(?:\.\d{1,9})?)?")
_FINGERPRINT = re.compile(r"(?:[0-9a-f]{32})?")


class Entry(NamedTuple):
    """An item and the state of its file when its vector was made; a size of None says that nobody looked."""

    item: Item
    size: int | None = None
    mtime_ns: int | None = None
    fingerprint: bytes | None = None


class Batch(NamedTuple):
    """Entries and their vectors, `[n, dim]` float32, in the same order; `numbers` are their rows in `file`, from 1."""

    entries: list[Entry]
    rows: Float32Array
    file: str
    numbers: Sequence[int]


class Origin(NamedTuple):
    """The encoder that made the vectors, as their file says."""

    encoder: str
    checksum: str


class Embeddings(Protocol):
    """Files of vectors, opened. `origin` is None where they do not say which encoder made them."""

    path: Path
    origin: Origin | None
    dimension: int

    def __len__(self) -> int:
        """How many vectors there are."""
        ...

    def batches(self) -> Generator[Batch, None, None]:
        """All of it; the items of one file come one after another. Raises `PathError` for what cannot be read."""
        ...


def origin_of(encoder: str, checksum: str) -> Origin:
    """The encoder that a file names. Raises `ValueError` for what is no name."""
    for told in (encoder, checksum):
        if not told.isprintable() or not told or len(told) > LONGEST_NAME:
            raise ValueError(f"{told!r:.40} is no encoder and no checksum")
    return Origin(encoder, checksum)


def entries_of(file: str, start: int, columns: Sequence[Sequence[Any]]) -> list[Entry]:
    """The entries of rows of an export, `columns` as `contents.COLUMNS` names them, the first in row `start`.

    Raises `PathError`, which names the row.
    """
    entries = []
    for number, values in enumerate(zip(*columns, strict=True), start=start):
        try:
            entries.append(_entry(*values))
        except ValueError as error:
            raise PathError(f"{file}, row {number}: {error}. Nothing was imported.") from error
    return entries


def check_rows(batch: Batch) -> None:
    """Raises `PathError` for the first vector that is no direction."""
    with np.errstate(all="ignore"):
        squares = np.square(batch.rows).sum(axis=1)
    wrong = ~np.isfinite(squares) | ~(squares > 0)
    if wrong.any():
        first = int(wrong.argmax())
        row = batch.rows[first]
        if not np.isfinite(row).all():
            reason = "it holds values that are no numbers"
        else:
            reason = "its values are too large or too small" if row.any() else "all its values are 0"
        raise PathError(f"{batch.file}, row {batch.numbers[first]}: {reason}. Nothing was imported.")


def _entry(
    modality: object, path: object, part: object, text: object, facts: object, size: Any, time: Any, digest: object
) -> Entry:
    """A row of an export; -1 and "" stand for what is not known of the file. Raises `ValueError`."""
    if not isinstance(modality, str) or modality not in MODALITIES:
        raise ValueError(f"{modality!r:.40} is no modality; there are {', '.join(MODALITIES)}")
    if not isinstance(part, str) or not _PART.fullmatch(part):
        raise ValueError(f"{part!r:.40} is no part of a file")
    if not isinstance(digest, str) or not _FINGERPRINT.fullmatch(digest):
        raise ValueError(f"{digest!r:.40} is no fingerprint of a file")
    for number in (size, time):
        if isinstance(number, bool) or not isinstance(number, int) or not -(2**63) <= number < 2**63:
            raise ValueError(f"{number!r:.40} is no number of bytes or nanoseconds")
    return Entry(
        Item(modality, path_of(path), part, _string(text, "text"), _facts(facts)),
        None if size < 0 else size,
        None if time < 0 else time,
        bytes.fromhex(digest) or None,
    )


def path_of(value: object) -> Path:
    """An absolute path. Raises `ValueError`."""
    path = Path(_string(value, "path", surrogates=True))
    if not path.is_absolute() or not path.name or ".." in path.parts:
        raise ValueError(f"{str(value)!r:.80} is no absolute path of a file")
    if LIMBO in (path, *path.parents):
        raise ValueError(f"{str(value)!r:.80} is no place of a file")
    return path


def _string(value: object, what: str, *, surrogates: bool = False) -> str:
    """A text that SQLite can hold: bytes of paths that are no UTF-8 are surrogates, but nothing else may be."""
    if not isinstance(value, str) or "\0" in value or len(value) > LONGEST:
        raise ValueError(f"{value!r:.40} is no {what}")
    try:
        value.encode(errors="surrogateescape" if surrogates else "strict")
    except UnicodeEncodeError as error:
        raise ValueError(f"{value!r:.40} is no {what}") from error
    return value


def _facts(value: object) -> dict[str, Any]:
    try:
        facts = json.loads(_string(value, "facts"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its facts {value!r:.40} are no JSON") from error
    if not isinstance(facts, dict):
        raise ValueError(f"its facts {value!r:.40} are no table")
    for name, fact in facts.items():
        if not is_sound(name, fact):
            raise ValueError(f"its fact {name!r:.40} cannot be {fact!r:.40}")
    return facts


def is_sound(name: str, fact: Any) -> bool:
    """Whether a fact is what its name says: later commands compare, show and compute with it as such."""
    return _is_text(name) and bool(_CHECKS.get(name, _is_plain)(fact))


def _is_text(fact: Any) -> bool:
    with suppress(ValueError):
        return isinstance(_string(fact, "fact"), str)
    return False


def _is_number(fact: Any, least: float, most: float) -> bool:
    return isinstance(fact, int | float) and not isinstance(fact, bool) and least <= fact <= most


def _is_integer(fact: Any, least: int, most: int) -> bool:
    return isinstance(fact, int) and _is_number(fact, least, most)


def _is_plain(fact: Any) -> bool:
    """Text, a number, a truth, or a list of texts."""
    if isinstance(fact, list):
        return all(map(_is_text, fact))
    return isinstance(fact, bool) or _is_number(fact, -LARGEST_INTEGER, LARGEST_INTEGER) or _is_text(fact)


def _is_local_time(fact: Any) -> bool:
    with suppress(ValueError):
        return _is_text(fact) and datetime.fromisoformat(fact).tzinfo is None and "T" in fact
    return False


def _is_box(fact: Any) -> bool:
    return isinstance(fact, list) and len(fact) == 4 and all(_is_number(edge, 0, 1) for edge in fact)


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "width": lambda fact: _is_integer(fact, 1, LONGEST_SIDE),
    "height": lambda fact: _is_integer(fact, 1, LONGEST_SIDE),
    "taken": _is_local_time,
    "modified": _is_local_time,
    "file_size": lambda fact: _is_integer(fact, 0, LARGEST_INTEGER),
    "latitude": lambda fact: _is_number(fact, -90, 90),
    "longitude": lambda fact: _is_number(fact, -180, 180),
    "keywords": lambda fact: isinstance(fact, list) and _is_plain(fact),
    "duration": lambda fact: _is_number(fact, 0, LARGEST_INTEGER),
    "boxes": lambda fact: isinstance(fact, list) and all(map(_is_box, fact)),
    **dict.fromkeys(("camera", "lens", "photo", "caption", "url", "description", "city", "country", "words"), _is_text),
}


def rows_of_bytes(width: int) -> int:
    """How many values of `width` bytes are read or written at once."""
    return max(1, min(BATCH, PIECE_BYTES // max(1, width)))


def is_dimension(number: object) -> bool:
    """Whether vectors may have that length."""
    return isinstance(number, int) and 1 <= number <= LARGEST_DIMENSION


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

    def float16_rows(self, ids: Sequence[int]) -> npt.NDArray[np.float16]:
        """The vectors of items as `[n, dim]` float16, which rounds none of them."""
        return self._catalog.stored.read(np.array(ids, np.int64)).astype("<f2")


@contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Turns what numpy, zipfile, zlib and pyarrow raise of foreign bytes into "PATH WHAT (reason)."."""
    try:
        yield
    except DescryError:
        raise
    except Exception as error:
        raise PathError(f"{path} {what} ({first_line(error)}).") from error

"""What travels: items with what is known of their files, and their vectors, in batches that fit into memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from indexer.items import Float32Array, Item

# Items that are in memory at once, and that one transaction stores: 4 MB of vectors at 256 dimensions.
BATCH = 4096


class Entry(NamedTuple):
    """An item and the state of its file when its vector was made; a size of None says that nobody looked."""

    item: Item
    size: int | None = None
    mtime_ns: int | None = None
    fingerprint: bytes | None = None


class Batch(NamedTuple):
    """Entries and their vectors, `[n, dim]` float32, in the same order."""

    entries: list[Entry]
    rows: Float32Array


class Block(NamedTuple):
    """Vectors as they stand in a file, `[n, dim]`, the first of them in its row `start`, counted from 1."""

    file: str
    start: int
    rows: Float32Array


class Origin(NamedTuple):
    """The encoder that made the vectors."""

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

    def blocks(self) -> Iterator[Block]:
        """The vectors alone, to be looked at before anything is stored."""
        ...

    def batches(self) -> Iterator[Batch]:
        """All of it; the items of one file come one after another."""
        ...


def entry(
    modality: str, path: str, part: str, text: str, facts: str, file_size: int, mtime_ns: int, fingerprint: str
) -> Entry:
    """A row of an export; -1 and "" stand for what is not known of the file."""
    return Entry(
        Item(modality, Path(path), part, text, json.loads(facts)),
        None if file_size < 0 else int(file_size),
        None if mtime_ns < 0 else int(mtime_ns),
        bytes.fromhex(fingerprint) or None,
    )

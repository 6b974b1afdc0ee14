"""The way out: every item with its vector, its facts and the state of its file, in a file that others' tools read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from indexer.atomic import atomic_write, writing
from indexer.errors import PathError
from indexer.library import Library
from indexer.transfer import npz, parquet
from indexer.transfer.batches import Condition, Contents

FORMATS: dict[str, Callable[[Contents, Path], None]] = {".npz": npz.write, ".parquet": parquet.write}


def export(library: Library, path: Path, *, modality: str = "", condition: Condition = ("1", ())) -> int:
    """Writes the items that pass the condition to a file of the kind that its suffix names; how many there were.

    `modality` "" means all of them.

    Raises `PathError` for another suffix, for a place where nothing can be written, and if there is nothing to write.
    """
    path = path.expanduser()
    write = FORMATS.get(path.suffix.lower())
    if write is None:
        raise PathError(f"{path.name} is no name for an export: end it in {' or '.join(FORMATS)}.")
    contents = Contents(library, modality, condition)
    with library.catalog.snapshot():
        count = len(contents)
        if not count:
            raise PathError(f"The library {library.path} holds nothing to export, or nothing passes the filters.")
        with writing(path), atomic_write(path) as new:
            write(contents, new)
    return count

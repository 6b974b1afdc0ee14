"""Files that are there whole or not at all: written beside their place, and put there when they are done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexer.errors import PathError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the disk refuses while `path` is written into a `PathError`."""
    try:
        yield
    except OSError as error:
        raise PathError(f"{path} cannot be written ({(error.strerror or str(error)).lower()}).") from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write what shall lie at `path`; it is put there in the end, unless the writer fails.

    Raises `PathError` where the disk refuses.
    """
    new = beside(path)
    with writing(path):
        try:
            yield new
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)


def beside(path: Path) -> Path:
    """A hidden place in the same folder, for what is not yet whole; the indexer passes over it."""
    return path.with_name(f".{path.name}.part")


def emptied(folder: Path) -> Path:
    """The folder, new and empty; what an interrupted run left in it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def replace_folder(scratch: Path, folder: Path) -> None:
    """Puts the scratch folder in the place of the folder; a folder can be renamed only onto an empty one."""
    if folder.exists():
        old = emptied(folder.with_name(f".{folder.name}.old"))
        folder.replace(old)
        shutil.rmtree(old, ignore_errors=True)
    scratch.replace(folder)

"""Atomic writes: what is written appears at its place whole or not at all, and writes through nobody's links."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from indexer.errors import PathError, reason_of

# What temporary files are called; the indexer passes over hidden ones, and `remove_leftovers` knows them.
PREFIX, SUFFIX = ".descry-", ".part"

# Seconds after which nobody is writing a temporary file any more.
OLD = 86_400


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the disk refuses while `path` is written into a `PathError`."""
    try:
        yield
    except OSError as error:
        raise PathError(f"{path} cannot be written ({reason_of(error)}).") from error


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Where to write what shall lie at `path`: it takes that place, on the disk, unless the writer fails.

    Raises `OSError`.
    """
    new = temporary_file(path.parent)
    try:
        yield new
        with new.open("r+b") as file:
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder`, with what it holds, unless the writer fails. Raises `OSError`."""
    import shutil  # late: no question needs it

    new = _temporary_name(folder.parent)
    new.mkdir()
    try:
        yield new
        old = _temporary_name(folder.parent)
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():  # a folder can be renamed only onto an empty one
            folder.replace(old)
        new.replace(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def temporary_file(folder: Path) -> Path:
    """A new, empty, hidden file in the folder, of a name that nobody can have foreseen. Raises `OSError`."""
    path = _temporary_name(folder)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))  # exclusively: never through a link
    return path


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of writers that were killed, a day after."""
    import shutil

    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError):
            if path.lstat().st_mtime > time.time() - OLD:
                continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _temporary_name(folder: Path) -> Path:
    return folder / f"{PREFIX}{os.urandom(8).hex()}{SUFFIX}"

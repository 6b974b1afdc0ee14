"""What is on disk: folders walked in order, each with its files that some modality reads."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from indexer.catalog import Failure
from indexer.items import Source
from indexer.modalities import modality_of

NOT_UTF8 = "its name is not UTF-8: rename it"

FolderKey = tuple[int, int]  # device and inode: the same for every path that leads there


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder: the files to index, and what could not be looked at.

    `is_whole` says that all of the folder was seen: what else the catalog knows of it is gone.
    """

    path: Path
    sources: list[Source] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    is_whole: bool = True


def walk(root: Path) -> Iterator[Folder]:
    """The folders at and below `root`, in order of name; a file as `root` comes in its folder, alone.

    Hidden files and folders are passed over unless they are the root itself. Links are followed; one
    that leads back to a folder it lies in is a failure, not a loop.
    """
    if root.is_dir():
        yield from _walk(root, ())
        return
    folder = Folder(root.parent, is_whole=False)
    _look_at(root, root.stat(), folder)
    yield folder


def _walk(path: Path, above: tuple[FolderKey, ...]) -> Iterator[Folder]:
    folder = Folder(path)
    below: list[Path] = []
    try:
        here = _key(path.stat())
        with os.scandir(path) as entries:
            visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        yield Folder(path, failures=[Failure(path, f"the folder cannot be read: {_reason(error)}")], is_whole=False)
        return
    for entry in visible:
        child = path / entry.name
        try:
            status = entry.stat()
            if not stat.S_ISDIR(status.st_mode):
                _look_at(child, status, folder)
            elif _key(status) in (*above, here):
                folder.failures.append(Failure(child, "it is a link to a folder that it lies in"))
            elif not _is_utf8(child):
                folder.failures.append(Failure(child, NOT_UTF8))
            else:
                below.append(child)
        except OSError as error:
            if modality_of(entry.name) or entry.is_dir(follow_symlinks=False):
                folder.failures.append(Failure(child, _reason(error)))
    yield folder
    for child in below:
        yield from _walk(child, (*above, here))


def _look_at(path: Path, status: os.stat_result, folder: Folder) -> None:
    modality = modality_of(path.name)
    if modality is None or not stat.S_ISREG(status.st_mode):
        return
    if not _is_utf8(path):
        folder.failures.append(Failure(path, NOT_UTF8))
        return
    folder.sources.append(Source(path, modality.name, status.st_size, status.st_mtime_ns))


def _key(status: os.stat_result) -> FolderKey:
    return status.st_dev, status.st_ino


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def mount_point(path: Path) -> Path:
    """The nearest folder at or above `path` on which a drive is mounted."""
    while not os.path.ismount(path) and path != path.parent:
        path = path.parent
    return path

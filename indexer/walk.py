"""What is on disk: folders walked in order, each with its files that some modality reads."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from indexer.items import Source
from indexer.modalities import modality_of, sidecars
from indexer.storage.files import Failure

NOT_UTF8 = "its name is not UTF-8: rename it"

FolderKey = tuple[int, int]  # device and inode: the same for every path that leads there


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder: the files to index, and what could not be looked at.

    `unseen` are the places that may still hold what the catalog knows of them: the folder itself, if it
    was not seen whole, or some of what lies in it. What else the catalog knows of the folder is gone.
    """

    path: Path
    sources: list[Source] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unseen: list[Path] = field(default_factory=list)

    def refuse(self, path: Path, reason: str) -> None:
        """Notes a place that cannot be looked at, and why."""
        self.failures.append(Failure(path, reason))
        self.unseen.append(path)


def walk(root: Path) -> Iterator[Folder]:
    """The folders at and below `root`, in order of name; a file as `root` comes in its folder, alone.

    Hidden files and folders are passed over unless they are the root itself. Links are followed; one
    that leads back to a folder it lies in is a failure, not a loop.
    """
    if not root.is_dir():
        folder = Folder(root.parent, unseen=[root.parent])
        _look_at(root, root.stat(), folder)
        with suppress(OSError):  # a folder that may not be listed
            _assign_sidecars(folder, [path.name for path in root.parent.iterdir()])
        yield folder
        return
    waiting: list[tuple[Path, tuple[FolderKey, ...]]] = [(root, ())]
    while waiting:
        path, above = waiting.pop()
        folder = Folder(path)
        try:
            inside = (*above, _key(path.stat()))
            below = _look_into(folder, inside)
        except OSError as error:
            folder.refuse(path, f"the folder cannot be read: {_reason(error)}")
            below = []
        yield folder
        waiting += [(child, inside) for child in reversed(below)]


def _look_into(folder: Folder, inside: tuple[FolderKey, ...]) -> list[Path]:
    """Fills `folder` from the disk and gives the folders below it; `inside` are the keys of it and those above."""
    with os.scandir(folder.path) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    below: list[Path] = []
    for entry in visible:
        child = folder.path / entry.name
        try:
            status = entry.stat()
        except OSError as error:
            if modality_of(entry.name) or entry.is_dir(follow_symlinks=False):
                folder.refuse(child, _reason(error))
            else:  # a broken link may lead to a folder on a drive that is away
                folder.unseen.append(child)
            continue
        if not stat.S_ISDIR(status.st_mode):
            _look_at(child, status, folder)
        elif _key(status) in inside:
            folder.refuse(child, "it is a link to a folder that it lies in")
        elif not is_utf8(child):
            folder.refuse(child, NOT_UTF8)
        else:
            below.append(child)
    _assign_sidecars(folder, [entry.name for entry in visible])
    return below


def _look_at(path: Path, status: os.stat_result, folder: Folder) -> None:
    modality = modality_of(path.name)
    if modality is None or not stat.S_ISREG(status.st_mode):
        return
    if not is_utf8(path):
        folder.refuse(path, NOT_UTF8)
        return
    folder.sources.append(Source(path, modality.name, status.st_size, status.st_mtime_ns, modality.facts_version))


def _assign_sidecars(folder: Folder, names: Collection[str]) -> None:
    """Takes the sidecar files among the folder's `names` out of its sources; those that they tell about name them."""
    told: dict[str, list[Path]] = defaultdict(list)
    found = sidecars(names)
    for name, owners in sorted(found.items()):
        for owner in owners:
            told[owner].append(folder.path / name)
    if found:
        sources = [source for source in folder.sources if source.path.name not in found]
        folder.sources[:] = [_with_sidecars(source, told[source.path.name]) for source in sources]


def _with_sidecars(source: Source, paths: Sequence[Path]) -> Source:
    """The source with its sidecar files; their names, sizes and times count as a version of its facts."""
    states = [source.facts_version]
    for path in paths:
        with suppress(OSError):  # one that cannot be looked at tells nothing
            status = path.stat()
            states.append(f"{path.name} {status.st_size} {status.st_mtime_ns}")
    return source._replace(facts_version="\n".join(states), sidecars=tuple(paths))


def _key(status: os.stat_result) -> FolderKey:
    return status.st_dev, status.st_ino


def is_utf8(path: Path) -> bool:
    """Whether the path can be stored as text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def mount_point(path: Path) -> Path:
    """The nearest folder at or above what `path` leads to on which a drive is mounted."""
    path = path.resolve()
    while not os.path.ismount(path) and path != path.parent:
        path = path.parent
    return path

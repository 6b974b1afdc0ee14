"""What is on disk: folders walked in order, by rules of what to leave out, each with its files that can be read."""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pathspec import GitIgnoreSpec, PathSpec

from indexer.errors import PathError, SourceError, reason_of
from indexer.items import Source
from indexer.modalities import modalities_of, modality_of, sidecars
from indexer.storage.files import LINK, Failure, Settings
from indexer.texts import open_text, short_lines

NOT_UTF8 = "its name is not UTF-8: rename it"

# Rules of a folder and what lies below, in a file there.
IGNORE_FILE = ".descryignore"

# Folders that cameras, systems and servers keep for themselves, in lower case. Hidden ones are passed over anyway.
NOT_PEOPLES = frozenset(
    [
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@__thumb", "thumbs", "lost+found"),
        *("$recycle.bin", "system volume information", "__macosx"),
    ]
)

# Files of theirs, which nobody misses.
NOT_MISSED = frozenset(["thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini"])

FolderKey = tuple[int, int]  # device and inode: the same for every path that leads there


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder: the files to index, and what could not be looked at.

    `unseen` are the places that may still hold what the catalog knows of them: the folder itself, if it
    was not seen whole, or some of what lies in it. What else the catalog knows of the folder is gone. `passed_over`
    counts, by suffix, the files of kinds that nothing reads, and links to folders that are not followed.
    """

    path: Path
    sources: list[Source] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unseen: list[Path] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)

    def refuse(self, path: Path, reason: str) -> None:
        """Notes a place that cannot be looked at, and why."""
        self.failures.append(Failure(path, reason))
        self.unseen.append(path)


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds in a folder: gitignore's rules of it and those above, the nearest last, whether to follow links, and
    by which models the modalities are read that need one.

    By themselves, hidden files and folders are left out, and the folders of `NOT_PEOPLES`; `!name` takes one in.
    """

    specs: tuple[tuple[Path, Gitignore], ...] = ()
    follow_links: bool = False
    readers: Mapping[str, str] = field(default_factory=dict)

    def inside(self, folder: Path, settings: Mapping[Path, Settings]) -> Rules:
        """The rules within a folder, with those of the root that it may be, and of its `IGNORE_FILE`.

        Raises `SourceError` where they cannot be read.
        """
        own = settings.get(folder)
        specs = [(folder, gitignore(own.exclude))] if own and own.exclude else []
        file = folder / IGNORE_FILE
        if os.path.isfile(file):  # noqa: PTH113 - Path's own raises where the folder is closed
            try:
                with open_text(file) as text:
                    specs.append((folder, gitignore(line.rstrip("\r\n") for _, line in short_lines(text))))
            except (OSError, SourceError, PathError) as error:
                raise SourceError(f"its {IGNORE_FILE} cannot be read: {error}") from error
        links, readers = (own.follow_links, own.readers) if own else (self.follow_links, self.readers)
        return Rules((*self.specs, *specs), links, readers)

    def leave_out(self, path: Path, *, is_folder: bool) -> bool:
        """Whether a file or folder of the rules' folder is passed over."""
        for folder, rules in reversed(self.specs):
            name = path.relative_to(folder).as_posix()
            told = (rules.of_folders.check_file(f"{name}/") if is_folder else rules.of_files.check_file(name)).include
            if told is not None:
                return bool(told)
        return path.name.startswith(".") or (is_folder and path.name.lower() in NOT_PEOPLES)


class Gitignore(NamedTuple):
    """Rules as gitignore has them. Of folders the last that fits counts; of files, pathspec knows what git does."""

    of_folders: PathSpec[Any]
    of_files: GitIgnoreSpec


def gitignore(lines: Iterable[str]) -> Gitignore:
    """The rules of some lines. Raises `PathError` for one that makes no sense."""
    rules = list(lines)
    try:
        return Gitignore(PathSpec.from_lines("gitignore", rules), GitIgnoreSpec.from_lines(rules))
    except ValueError as error:
        raise PathError(f"A rule of what to leave out makes no sense: {error}.") from error


def rules_above(path: Path, settings: Mapping[Path, Settings]) -> Rules | None:
    """The rules that hold around a path that the walk over some root comes to; None if none does."""
    for root in sorted(root for root in settings if root in path.parents):  # the outermost first
        with suppress(SourceError, OSError):
            if rules := _rules_on_the_way(root, path, settings):
                return rules
    return None


def _rules_on_the_way(root: Path, path: Path, settings: Mapping[Path, Settings]) -> Rules | None:
    rules = Rules().inside(root, settings)
    for step in [place for place in (*reversed(path.parents), path) if root in place.parents]:
        is_folder = os.path.isdir(step)  # noqa: PTH112 - Path's own raises where a folder above is closed
        if rules.leave_out(step, is_folder=is_folder):
            return None
        if is_folder and not rules.follow_links and step.is_symlink():
            return None
        if step != path:
            rules = rules.inside(step, settings)
    return rules


def walk(root: Path, settings: Mapping[Path, Settings] | None = None, rules: Rules | None = None) -> Iterator[Folder]:
    """The folders at and below `root`, in order of name; a file as `root` comes in its folder, alone.

    `settings` are those of all roots, `rules` what holds around this one. A link that leads back to a folder it lies
    in is a failure, not a loop.
    """
    settings = settings or {}
    if not root.is_dir():
        folder = Folder(root.parent, unseen=[root.parent])
        _look_at(root, root.stat(), folder, settings.get(root, rules or Rules()).readers)
        with suppress(OSError):  # a folder that may not be listed
            _assign_sidecars(folder, _names_beside(root))
        yield folder
        return
    waiting: list[tuple[Path, tuple[FolderKey, ...], Rules]] = [(root, (), rules or Rules())]
    while waiting:
        path, above, rules = waiting.pop()
        folder = Folder(path)
        below: list[Path] = []
        try:
            inside = (*above, _key(path.stat()))
            rules = rules.inside(path, settings)
            below = _look_into(folder, inside, rules, settings)
        except OSError as error:
            folder.refuse(path, f"the folder cannot be read: {reason_of(error)}")
        except SourceError as error:
            folder.refuse(path, str(error))
        yield folder
        waiting += [(child, inside, rules) for child in reversed(below)]


def _look_into(
    folder: Folder, inside: tuple[FolderKey, ...], rules: Rules, settings: Mapping[Path, Settings]
) -> list[Path]:
    """Fills `folder` from the disk and gives the folders below it; `inside` are the keys of it and those above."""
    with os.scandir(folder.path) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    below: list[Path] = []
    names: list[str] = []
    for entry in entries:
        child = folder.path / entry.name
        try:
            status = entry.stat()
        except OSError as error:
            if rules.leave_out(child, is_folder=False):
                continue
            if modality_of(entry.name) or entry.is_dir(follow_symlinks=False):
                folder.refuse(child, reason_of(error))
            else:  # a broken link may lead to a folder on a drive that is away
                folder.unseen.append(child)
            continue
        is_folder = stat.S_ISDIR(status.st_mode)
        if rules.leave_out(child, is_folder=is_folder):
            continue
        if not is_folder:
            names.append(entry.name)
            _look_at(child, status, folder, settings.get(child, rules).readers)
        elif entry.is_symlink() and not rules.follow_links:
            folder.passed_over[LINK] += 1
        elif _key(status) in inside:
            folder.refuse(child, "it is a link to a folder that it lies in")
        elif not is_utf8(child):
            folder.refuse(child, NOT_UTF8)
        else:
            below.append(child)
    _assign_sidecars(folder, names)
    return below


def _look_at(path: Path, status: os.stat_result, folder: Folder, readers: Mapping[str, str]) -> None:
    modalities = modalities_of(path.name, readers)
    if not stat.S_ISREG(status.st_mode):
        return
    if not modalities:
        if path.name.lower() not in NOT_MISSED:
            folder.passed_over[path.suffix] += 1
        return
    if not is_utf8(path):
        folder.refuse(path, NOT_UTF8)
        return
    for modality in modalities:
        source = Source(path, modality.name, status.st_size, status.st_mtime_ns, modality.facts_version)
        folder.sources.append(source._replace(reader=readers.get(modality.name, "")))


def _names_beside(file: Path) -> Collection[str]:
    """The names in the file's folder by which it is told whether it has sidecars, or is one."""
    names, told = _names(file.parent, file.parent.stat().st_mtime_ns)
    return names if file.name in told else [file.name, *told]


@lru_cache(maxsize=1)
def _names(folder: Path, _mtime_ns: int) -> tuple[list[str], list[str]]:
    """All names in a folder at a time, and of them what may be sidecars: thousands may be named one by one."""
    names = os.listdir(folder)  # noqa: PTH208 - Path's takes six times as long
    return names, [name for name in names if name.lower().endswith((".json", ".xmp"))]


def _assign_sidecars(folder: Folder, names: Collection[str]) -> None:
    """Takes the sidecar files among the folder's `names` out of its sources; those that they tell about name them."""
    told: dict[str, list[Path]] = defaultdict(list)
    found = sidecars(names)
    for name, owners in sorted(found.items()):
        for owner in owners:
            told[owner].append(folder.path / name)
    if found:
        folder.passed_over.subtract(Path(name).suffix for name in found if modality_of(name) is None)
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


def mount_point(path: Path) -> Path:
    """The nearest folder at or above what `path` leads to on which a drive is mounted."""
    path = path.resolve()
    while not os.path.ismount(path) and path != path.parent:
        path = path.parent
    return path

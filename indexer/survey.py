"""What differs between the disk and the catalog, told by size and mtime without opening a file."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from indexer.errors import PathError
from indexer.items import Source
from indexer.modalities import MODALITIES, modalities_of
from indexer.modalities.caption_files import folded
from indexer.photos.suffixes import of_no_kind
from indexer.report import Report, Watcher
from indexer.storage.catalog import Catalog
from indexer.storage.files import Failure, Files, FileState, Settings, as_stored
from indexer.walk import NOT_UTF8, Folder, gitignore, is_utf8, mount_point, rules_above, walk

Key = tuple[str, str]  # a file's name and modality


@dataclass(frozen=True, slots=True)
class Changes:
    """The differences of one folder; `vanished` are ids of the catalog's files that are gone from it."""

    changed: list[Source]
    vanished: list[int]
    unchanged: int
    old_failures: int


def compare(folder: Folder, files: Files, *, retry: bool = False) -> Changes:
    """The folder's differences from what the catalog knows of it; with `retry`, what failed counts as changed."""
    known = files.in_folder(folder.path)
    there = {(source.path.name, source.modality): source for source in folder.sources}
    unsettled = _unsettled(known.keys() ^ there.keys(), there)
    changed: list[Source] = []
    states: list[FileState] = []
    for key, source in there.items():
        state = known.get(key)
        if state is None or not state.matches(source) or key in unsettled or (retry and state.error):
            changed.append(source)
        else:
            states.append(state)
    failed = sum(state.error is not None for state in states)
    return Changes(changed, _vanished(folder, known, there), len(states) - failed, failed)


def _vanished(folder: Folder, known: dict[Key, FileState], there: Iterable[Key]) -> list[int]:
    if folder.path in folder.unseen:
        return []
    kept = {*there, *((path.name, modality) for path in folder.unseen for modality in MODALITIES)}
    # what an extra read that is not here now may come back with it
    return [state.id for key, state in known.items() if key not in kept and key[1] in MODALITIES]


def _unsettled(differing: Iterable[Key], there: Iterable[Key]) -> set[Key]:
    """The files beside which one came or went on which their meaning depends."""
    moved = {(_stem(name), modality) for name, modality in differing}
    return {
        (name, modality)
        for name, modality in there
        if moved and any((_stem(name), other) in moved for other in MODALITIES[modality].beside)
    }


def _stem(name: str) -> str:
    return folded(name.rpartition(".")[0])


class Survey:
    """The differences of some roots: which files have to be read, and which of the catalog's are gone.

    Looking at everything once before the first file is read makes the total known; most runs change
    nothing and end there. Fills the report with what is unchanged, absent or cannot be looked at.
    """

    def __init__(
        self,
        catalog: Catalog,
        report: Report,
        watcher: Watcher,
        *,
        limits: Mapping[str, float],
        exclude: Sequence[str] | None = None,
        follow_links: bool | None = None,
        readers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._files = catalog.files
        self._report = report
        self._watcher = watcher
        self._limits = limits
        self._exclude = None if exclude is None else tuple(exclude)
        self._follow_links = follow_links
        self._readers = readers
        # the roots that were on a drive that is not mounted now: what the library holds of them stays
        self._unmounted = [root for root, volume in self._files.roots().items() if not os.path.ismount(volume)]
        self.roots: list[Path] = []
        self._passed_over: dict[Path, Counter[str]] = {}
        self.total = 0
        self.vanished: set[int] = set()

    def look_at(self, paths: Iterable[Path | str]) -> None:
        """Looks at all that lies at or below the paths. Raises `PathError` for one of which nothing is known."""
        gitignore(self._exclude or ())
        self.roots = [root for root in _roots(self._files, paths, self._readers) if self._is_present(root)]
        for root in self.roots:
            self._look_below(root)
        for passed_over in self._passed_over.values():
            self._report.passed_over += passed_over

    def remember(self) -> None:
        """Records of each root that was gone through whole with which limit that was, and what was passed over."""
        settings = self._files.settings()
        for root in settings.keys() & self._passed_over.keys():
            seen = dict(self._passed_over[root])
            self._files.set_settings(root, replace(settings[root], limits=dict(self._limits), passed_over=seen))

    def changed(self) -> Iterator[Source]:
        """The files that have to be read, in the order of their paths."""
        for root in self.roots:
            retry = self._retries(root)
            for folder in self._walk(root):
                yield from compare(folder, self._files, retry=retry).changed

    def is_unmounted(self, path: Path) -> bool:
        """Whether the path lies on a drive that was there and now is not."""
        return any(path.is_relative_to(place) for place in self._unmounted)

    def _is_present(self, root: Path) -> bool:
        """Whether the root can be taken at its word; what the library holds of an absent one is kept."""
        emptied = _is_empty(root) and bool(self._files.folders_under(root))
        if not _exists(root) or emptied or self.is_unmounted(root):
            self._report.absent.append(root)
            return False
        settings = self._files.settings()
        # what lies in a root and is walked with it is no root of its own, unless it has rules of its own
        own = settings.get(root, Settings())
        told = own if self._exclude is None else replace(own, exclude=self._exclude)
        told = told if self._follow_links is None else replace(told, follow_links=self._follow_links)
        told = replace(told, readers=_changed(told.readers, self._readers)) if self._readers else told
        if root in settings or told != own or rules_above(root, settings) is None:
            self._files.add_root(root, mount_point(root))
            self._files.set_settings(root, told)
        return True

    def _walk(self, root: Path) -> Iterator[Folder]:
        settings = self._files.settings()
        return walk(root, settings, rules_above(root, settings))

    def _look_below(self, root: Path) -> None:
        visited: set[Path] = set()
        unseen, blocked = [place for place in self._unmounted if place.is_relative_to(root)], []
        self._report.absent += unseen
        # roots of which this one's walk knows nothing: hidden, left out, or behind a link
        unseen += self._apart(root)
        passed_over = self._passed_over[root] = Counter()
        retry = self._retries(root)
        for folder in self._walk(root):
            passed_over += folder.passed_over
            changes = compare(folder, self._files, retry=retry)
            self.total += len(changes.changed)
            if not self.is_unmounted(folder.path):
                self.vanished.update(changes.vanished)
            self._report.unchanged += changes.unchanged
            self._report.old_failures += changes.old_failures
            blocked += folder.failures
            unseen += folder.unseen
            visited.add(folder.path)
            self._note_volume(root, folder.path)
        self._note_blocked(root, blocked)
        for path in self._files.folders_under(root):
            if path not in visited and not any(path.is_relative_to(place) for place in unseen):
                self.vanished.update(state.id for state in self._files.in_folder(path).values())

    def _apart(self, root: Path) -> list[Path]:
        settings = self._files.settings()
        below = [place for place in settings if root in place.parents]
        return [place for place in below if rules_above(place, {root: settings.get(root, Settings())}) is None]

    def _note_volume(self, root: Path, folder: Path) -> None:
        """Remembers a drive that is mounted inside the root, or that a link there leads to."""
        if folder != root and not self.is_unmounted(folder) and (os.path.ismount(folder) or folder.is_symlink()):
            volume = mount_point(folder)
            if volume != mount_point(root):
                self._files.add_root(folder, volume)

    def _note_blocked(self, root: Path, places: Sequence[Failure]) -> None:
        self._files.set_blocked(root, places)
        for failure in places:
            self._report.failures.append(failure)
            self._watcher.failed(failure)

    def _retries(self, root: Path) -> bool:
        """Whether what failed there is worth another try unchanged: a higher limit may let it pass."""
        settings = self._files.settings()
        nearest = next((settings[place] for place in (root, *root.parents) if place in settings), Settings())
        return any(limit > nearest.limits.get(name, math.inf) for name, limit in self._limits.items())


def _roots(files: Files, paths: Iterable[Path | str], wished: Mapping[str, str]) -> list[Path]:
    """The paths, absolute, without those that are come to from another."""
    roots, settings = set(map(as_stored, paths)), files.settings()
    for root in roots:
        if not is_utf8(root):
            raise PathError(f"{str(root)!a} cannot be indexed: {NOT_UTF8}.")
        around = settings.get(root) or rules_above(root, settings) or Settings()
        is_read = root in settings or modalities_of(root.name, _changed(around.readers, wished))
        if _exists(root) and root.is_file() and not is_read:
            raise PathError(f"{root} is {of_no_kind(root.suffix)}.")
        if _exists(root) and not root.is_file() and not root.is_dir():
            raise PathError(f"{root} is neither a folder nor a file.")
        if not _exists(root) and not files.knows(root):
            raise PathError(f"There is no folder or file {root}, or it may not be looked at.")
    own = {root: settings.get(root, Settings()) for root in roots}
    return sorted(root for root in roots if rules_above(root, own) is None)


def _changed(readers: Mapping[str, str], wished: Mapping[str, str]) -> dict[str, str]:
    """The readers of a root with those that are wished now; "" for one that is not wished any more."""
    return {name: reader for name, reader in {**readers, **wished}.items() if reader}


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path's own raises where a folder above is closed


def _is_empty(path: Path) -> bool:
    try:
        return next(path.iterdir(), None) is None
    except OSError:  # a file, or not to be looked into: the walk says why
        return False

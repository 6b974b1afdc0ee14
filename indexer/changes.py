"""What differs between a folder on disk and the catalog, told by size and mtime without opening a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from indexer.catalog import Catalog, FileState
from indexer.items import Source
from indexer.modalities import MODALITIES
from indexer.walk import Folder

Key = tuple[str, str]  # a file's name and modality


@dataclass(frozen=True, slots=True)
class Changes:
    """The differences of one folder; `vanished` are ids of the catalog's files that are gone from it."""

    changed: list[Source]
    vanished: list[int]
    unchanged: int
    old_failures: int


def compare(folder: Folder, catalog: Catalog, *, retry: bool = False) -> Changes:
    """The folder's differences from what the catalog knows of it; with `retry`, what failed counts as changed."""
    known = catalog.files_in(folder.path)
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
    return [state.id for key, state in known.items() if key not in kept]


def _unsettled(differing: Iterable[Key], there: Iterable[Key]) -> set[Key]:
    """The files beside which one came or went on which their meaning depends."""
    moved = {(_stem(name), modality) for name, modality in differing}
    return {
        (name, modality)
        for name, modality in there
        if moved and any((_stem(name), other) in moved for other in MODALITIES[modality].beside)
    }


def _stem(name: str) -> str:
    return name.rpartition(".")[0]

"""What differs between a folder on disk and the catalog, told by size and mtime without opening a file."""

from __future__ import annotations

from dataclasses import dataclass

from indexer.catalog import Catalog, FileState
from indexer.items import Source
from indexer.walk import Folder


@dataclass(frozen=True, slots=True)
class Changes:
    """The differences of one folder; `vanished` are ids of the catalog's files that are gone from it."""

    changed: list[Source]
    vanished: list[int]
    unchanged: int
    old_failures: int


def compare(folder: Folder, catalog: Catalog) -> Changes:
    """The folder's differences from what the catalog knows of it."""
    known = catalog.files_in(folder.path)
    changed: list[Source] = []
    states: list[FileState] = []
    for source in folder.sources:
        state = known.pop((source.path.name, source.modality), None)
        if state is not None and state.matches(source):
            states.append(state)
        else:
            changed.append(source)
    failed = sum(state.error is not None for state in states)
    vanished = [state.id for state in known.values()] if folder.is_whole else []
    return Changes(changed, vanished, len(states) - failed, failed)

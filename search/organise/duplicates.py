"""The photos of a library that are one picture several times: equal files, altered copies, and bursts.

What an equal file is, its fingerprint says; an altered copy (resized, compressed again, cropped a little) is near in
the library's vectors *and* in its perceptual hash; a burst is near in the vectors and taken within seconds by one
camera, and looks the same but for what moved. Nothing is ever changed or deleted: this is a report.
"""

from __future__ import annotations

from collections.abc import Sequence

from indexer.report import Watcher
from indexer.storage.catalog import Catalog
from search.organise.alike import BURST, EXACT, KINDS, Group, spare_ids
from search.organise.bursts import bursts
from search.organise.copies import equal_files, with_altered_copies


def duplicates(catalog: Catalog, *, kinds: Sequence[str] = KINDS, watcher: Watcher | None = None) -> list[Group]:
    """The groups of photos that are one picture, as far as they are of the wished kinds, by the paths of their best.

    Only photos count that are on disk as they were indexed. Those that may be altered copies are read, on all
    processors; `watcher` is told how that goes. A burst's photos are the best of their copies.
    """
    watcher = watcher or Watcher()
    with catalog.snapshot():
        groups = equal_files(catalog)
        if set(kinds) != {EXACT}:
            groups = with_altered_copies(catalog, groups, watcher)
        if BURST in kinds:
            groups += bursts(catalog, spare_ids(groups), watcher)
    wished = [Group(group.best, tuple(copy for copy in group.others if copy.reason in kinds)) for group in groups]
    return sorted((group for group in wished if group.others), key=lambda group: group.best.path)

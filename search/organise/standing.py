"""The photos of a library that are on disk as they were indexed: what is said of files must still be true of them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from indexer.items import Item
from indexer.storage.catalog import Catalog


def standing(catalog: Catalog, ids: Sequence[int]) -> list[Item]:
    """The items of `ids` whose files are there with the size and time of their indexing, the best first.

    The best has the most pixels, then the most bytes (the least compressed), then the oldest file. A file that is
    reached under several names comes once: whoever deleted one of the names might delete the only copy.
    """
    times = _times(catalog, ids)
    files: dict[tuple[int, int], Item] = {}
    for item in catalog.items(ids):
        try:
            status = item.path.stat()
        except OSError:
            continue
        if (status.st_size, status.st_mtime_ns) == times.get(item.id or 0):
            known = files.setdefault((status.st_dev, status.st_ino), item)
            if _is_linked(known) and not _is_linked(item):
                files[status.st_dev, status.st_ino] = item
    return sorted(files.values(), key=_best_first)


def _times(catalog: Catalog, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Size and time of the items' files as the catalog has them."""
    rows = catalog.connection.execute(
        "SELECT items.id, size, mtime_ns FROM items JOIN files ON files.id = file_id "
        "WHERE items.id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(map(int, ids))),),
    )
    return {id: (size, mtime_ns) for id, size, mtime_ns in rows}


def _is_linked(item: Item) -> bool:
    """Whether the path leads over a symbolic link."""
    return os.path.realpath(item.path) != str(item.path)


def _best_first(item: Item) -> tuple[int, int, str, str]:
    pixels = item.facts.get("width", 0) * item.facts.get("height", 0)
    return -pixels, -item.facts.get("file_size", 0), str(item.facts.get("modified", "")), str(item.path)

"""The catalog without a question: ids in an order, counts by folder, camera or month, and what duplicates share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from indexer.items import Int64Array
from indexer.storage.database import Database

# Julian day number of the day before 0001-01-01, by which Python counts.
BEFORE_FIRST = 1_721_425

# Local time at which a file was written, in the form of `taken`.
WRITTEN = "strftime('%Y-%m-%dT%H:%M:%S', mtime_ns / 1000000000, 'unixepoch', 'localtime')"

# Terms of ORDER BY for each order. The day comes first: it is in an index, so that the first page needs no full sort.
ORDERS: Mapping[str, tuple[str, ...]] = {
    "date": ("items.day", f"coalesce(json_extract(facts, '$.taken'), {WRITTEN})"),
    "name": ("files.name COLLATE NOCASE",),
    "path": ("folders.path || '/' || files.name",),
    "size": ("files.size",),
}

# What is counted, by the name of the filter that narrows to it.
FACETS: Mapping[str, str] = {
    "in": "folders.path",
    "camera": "items.camera",
    "lens": "json_extract(facts, '$.lens')",
    "type": "lower(substr(name, length(rtrim(name, replace(name, '.', ''))) + 1))",
    "on": "items.day",
    "tag": "tags.tag",
    "colour": "json_extract(facts, '$.colour')",
    "place": "json_extract(facts, '$.city') || ', ' || json_extract(facts, '$.country')",
}

_SOURCE = "items JOIN files ON files.id = file_id JOIN folders ON folders.id = folder_id"

# Displaced files wait in a folder of their own, see `files.LIMBO`.
_PLACED = "folders.path != '/dev/null'"


class Listing:
    """Reads items by conditions alone: SQL over `items`, `files` and `folders`, with the values of its parameters.

    What lists and counts takes several modalities.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def ids(
        self,
        modalities: Sequence[str],
        where: str = "TRUE",
        values: Sequence[Any] = (),
        *,
        order: str,
        descending: bool = False,
        among: Sequence[int] | None = None,
    ) -> Int64Array:
        """The ids `[n]` in one of `ORDERS`, what is not known last, equal ones by id; only those `among`, if given."""
        direction = "DESC" if descending else "ASC"
        terms = ", ".join(f"{term} {direction} NULLS LAST" for term in ORDERS[order])
        given = "TRUE" if among is None else "items.id IN (SELECT value FROM json_each(?))"
        rows = self._database.connection.execute(
            f"SELECT items.id FROM {_SOURCE} WHERE {_is_of(modalities)} AND {_PLACED} AND ({where}) AND {given} "
            f"ORDER BY {terms}, items.id",
            (*modalities, *values, *([] if among is None else [json.dumps(list(among))])),
        )
        return np.fromiter((id for (id,) in rows), np.int64)

    def captions(self, photo: Path, *, most: int) -> list[str]:
        """What captions say of a photo; needs the SQL function `beside`, see `search.filters`."""
        rows = self._database.connection.execute(
            f"SELECT text FROM {_SOURCE} WHERE items.modality IN ('text', 'caption') AND instr(facts, ?) > 0 "
            "AND beside(folders.path, json_extract(facts, '$.photo')) = ? LIMIT ?",
            (json.dumps(photo.name, ensure_ascii=False)[1:-1], f"{photo.parent}/{photo.name}", most),
        )
        return [text for (text,) in rows]

    def days_and_aspects(self, modalities: Sequence[str]) -> list[tuple[int, int, float]]:
        """Of all items, by id: the id, the day (0 if none is known), and width by height (1 if not known)."""
        sql = (
            "SELECT id, coalesce(day, 0), coalesce(1.0 * json_extract(facts, '$.width') / "
            f"json_extract(facts, '$.height'), 1.0) FROM items WHERE {_is_of(modalities)} ORDER BY id"
        )
        return self._database.connection.execute(sql, modalities).fetchall()

    def facets(
        self, modalities: Sequence[str], where: str = "TRUE", values: Sequence[Any] = ()
    ) -> dict[str, dict[str, int]]:
        """How many items there are of each folder, camera, lens, type, month, tag, colour and place, by filters' names.

        The commonest first; months, as in "2023-05", the newest first.
        """
        return {name: self._counts(name, modalities, where, values) for name in FACETS}

    def _counts(self, name: str, modalities: Sequence[str], where: str, values: Sequence[Any]) -> dict[str, int]:
        tagged = "JOIN tags ON tags.item_id = items.id" if name == "tag" else ""
        rows = self._database.connection.execute(
            f"SELECT {FACETS[name]}, count(*) FROM {_SOURCE} {tagged} WHERE {_is_of(modalities)} AND {_PLACED} "
            f"AND ({where}) AND {FACETS[name]} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1",
            (*modalities, *values),
        )
        return _by_month(rows.fetchall()) if name == "on" else dict(rows)

    def located(self, modality: str) -> int:
        """How many items there are whose place on the globe is known."""
        sql = "SELECT count(*) FROM items WHERE modality = ? AND json_extract(facts, '$.latitude') IS NOT NULL"
        return int(self._database.scalar(sql, (modality,)))

    # what is compared to find duplicates

    def equal_files(self, modality: str) -> list[list[int]]:
        """The ids of items whose files have the same content, in groups of two and more."""
        rows = self._database.connection.execute(
            "SELECT fingerprint, items.id FROM files JOIN items ON items.file_id = files.id "
            "WHERE items.modality = ? AND fingerprint IN "
            "(SELECT fingerprint FROM files WHERE fingerprint IS NOT NULL GROUP BY fingerprint HAVING count(*) > 1) "
            "ORDER BY fingerprint",
            (modality,),
        )
        groups: dict[bytes, list[int]] = {}
        for fingerprint, id in rows:
            groups.setdefault(fingerprint, []).append(id)
        return [ids for ids in groups.values() if len(ids) > 1]

    def shapes(self, ids: Sequence[int]) -> list[tuple[int, float | None, int | None]]:
        """Of each item its id, its width by its height, and the second in which it was taken, in the order of ids."""
        return self._database.connection.execute(
            "SELECT id, json_extract(facts, '$.width') * 1.0 / json_extract(facts, '$.height'), "
            "CAST(strftime('%s', json_extract(facts, '$.taken')) AS INTEGER) "
            "FROM items WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
            (json.dumps(list(map(int, ids))),),
        ).fetchall()

    def camera_times(self, modality: str) -> list[tuple[int, int, str | None]]:
        """Of each item with a time its id, the second in which it was taken, and the camera; by camera and time."""
        return self._database.connection.execute(
            "SELECT * FROM (SELECT id, CAST(strftime('%s', json_extract(facts, '$.taken')) AS INTEGER) AS second, "
            "camera FROM items WHERE modality = ?) AS timed WHERE second IS NOT NULL "
            "ORDER BY camera NULLS FIRST, second, id",
            (modality,),
        ).fetchall()


def _is_of(modalities: Sequence[str]) -> str:
    """SQL for items of some modalities, of which there are few: their names are its parameters."""
    one = len(modalities) == 1
    return "items.modality = ?" if one else f"items.modality IN ({', '.join('?' * len(modalities))})"


def _by_month(days: Sequence[tuple[int, int]]) -> dict[str, int]:
    months: Counter[str] = Counter()
    for day, count in days:
        with suppress(ValueError, OverflowError):  # before the year 1
            months[date.fromordinal(day - BEFORE_FIRST).isoformat()[:7]] += count
    return dict(sorted(months.items(), reverse=True))

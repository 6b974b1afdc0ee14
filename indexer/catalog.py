"""The catalog: items, their vectors and the files they come from, in SQLite; the single source of truth.

Writing goes through `atomic`, one transaction a batch. Reading may happen at any time, from any
process: the journal is a write-ahead log, so a reader sees the state of the last commit.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from indexer import migrations
from indexer.database import Database
from indexer.errors import LibraryDamaged
from indexer.files import LIMBO, Files
from indexer.items import Float32Array, Int64Array, Item, Source, Vectors
from indexer.packing import pack, unpack
from indexer.tags import Tags

# Vectors of at most this many items are in memory as blobs at once: 3 MB at 256 dimensions.
READ_AHEAD = 8192

# Whether a condition is about files and where they are, and not only about items.
OF_FILES = re.compile(r"\b(files|folders|path)\b").search


class Catalog(Database):
    """The database of a library: `files` are what the disk holds, `tags` what fits; it keeps items and vectors."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        super().__init__(path, readonly=readonly)
        self.files = Files(self)
        self.tags = Tags(self)

    @property
    def is_begun(self) -> bool:
        """Whether it says what the library is; a catalog whose maker was killed in its first moments does not."""
        return migrations.version(self.connection) > 0 and "encoder" in self.meta()

    # writing, inside `atomic`

    def put_items(self, file_id: int, items: Sequence[Item], rows: Float32Array, revision: int) -> None:
        """Stores items of a file and their vectors, `[n, dim]`."""
        insert = "INSERT INTO items (file_id, modality, part, text, facts) VALUES (?, ?, ?, ?, ?)"
        vectors = []
        for item, blob in zip(items, pack(rows), strict=True):
            values = (file_id, item.modality, item.part, item.text, facts_json(item.facts))
            vectors.append((self.connection.execute(insert, values).lastrowid, item.modality, revision, blob))
        self.connection.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", vectors)

    def move(self, file_id: int, source: Source, items: Iterable[Item]) -> bool:
        """Gives a stored file with its items and vectors a new place; ids stay. False if it is still at its old one."""
        if not self.files.move(file_id, source):
            return False
        self.connection.executemany(
            "UPDATE items SET facts = ? WHERE file_id = ? AND part = ?",
            [(facts_json(item.facts), file_id, item.part) for item in items],
        )
        return True

    def remove_under(self, path: Path) -> int:
        """Takes a root, folder or file out of the library, in a transaction; how many items went with it."""
        with self.atomic():
            before = self.scalar("SELECT count(*) FROM items")
            self.files.forget_under(path)
            return int(before - self.scalar("SELECT count(*) FROM items"))

    def replace_vectors(self, file: Path, encoder: str, checksum: str, dimension: int) -> None:
        """Takes every item's vector from the table `vectors(id, vector)` of another SQLite file, in one transaction.

        The library is that encoder's from then on, and indexes from before are too old to catch up.
        Raises `LibraryDamaged` if an item has no vector there.
        """
        self.connection.execute("ATTACH ? AS new", (str(file),))
        try:
            with self.atomic() as revision:
                sql = "SELECT 1 FROM vectors WHERE id NOT IN (SELECT id FROM new.vectors) LIMIT 1"
                if self.scalar(sql):
                    raise LibraryDamaged(f"{file} lacks vectors of the catalog {self.path}: delete it and begin again.")
                self.connection.execute(
                    "UPDATE main.vectors SET revision = ?, vector = new.vectors.vector "
                    "FROM new.vectors WHERE new.vectors.id = main.vectors.id",
                    (revision,),
                )
                self.set_meta(encoder=encoder, checksum=checksum, dimension=dimension, pruned=revision)
        finally:
            self.connection.execute("DETACH new")

    # vectors, for indexes to catch up with

    def all_ids(self) -> list[int]:
        """The ids of all vectors, the oldest first."""
        return [id for (id,) in self.connection.execute("SELECT id FROM vectors ORDER BY id")]

    @property
    def dimension(self) -> int:
        """The length of the vectors."""
        return int(self.scalar("SELECT value FROM meta WHERE key = 'dimension'"))

    def vectors_of_file(self, file_id: int) -> dict[str, Float32Array]:
        """The vectors `[dim]` of a file's items, by part."""
        rows = self.connection.execute(
            "SELECT part, vector FROM items JOIN vectors USING (id) WHERE file_id = ?", (file_id,)
        )
        return {part: unpack([vector], self.dimension)[0] for part, vector in rows}

    def vectors(self, ids: Sequence[int]) -> Vectors:
        """The vectors of items of any modality, in the order of `ids`; ids that are not there are left out."""
        found = self._vectors("TRUE", (), ids)
        place = {id: number for number, id in enumerate(found.ids.tolist())}
        there = [place[int(id)] for id in ids if int(id) in place]
        return Vectors(found.ids[there], found.rows[there])

    def vectors_of(self, modality: str, ids: Int64Array) -> Vectors:
        """The vectors of a modality's items among `ids`, in the order of the ids."""
        # the plus keeps SQLite from going through all of the modality by its index: 110 ms of a million instead of 0.3
        return self._vectors("+modality = ?", (modality,), ids.tolist())

    def _vectors(self, where: str, values: Sequence[Any], ids: Sequence[int]) -> Vectors:
        wanted = json.dumps([int(id) for id in ids])  # one parameter, however many: SQLite limits their number
        rows = self.connection.execute(
            f"SELECT id, vector FROM vectors WHERE {where} AND id IN (SELECT value FROM json_each(?))",
            (*values, wanted),
        )
        return self._as_vectors(rows.fetchall())

    def _as_vectors(self, rows: Sequence[tuple[int, bytes]]) -> Vectors:
        ids = np.array([id for id, _ in rows], dtype=np.int64)
        return Vectors(ids, unpack([vector for _, vector in rows], self.dimension))

    def some_vectors(self, modality: str, count: int) -> Vectors:
        """About `count` vectors of a modality, drawn by chance, the same ones each time; all if there are fewer."""
        share = min(1.0, count / max(1, self.count(modality)))
        rows = self.connection.execute(
            "SELECT id, vector FROM vectors WHERE modality = ? AND (id * 2654435761) & 4294967295 < ?",
            (modality, int(share * 2**32)),
        )
        return self._as_vectors(rows.fetchall())

    def vectors_since(self, modality: str, revision: int) -> Iterator[Vectors]:
        """The vectors that were stored after `revision`, in the order of their ids' insertion, in bounded pieces."""
        with closing(self.connection.cursor()) as cursor:
            cursor.execute("SELECT id, vector FROM vectors WHERE modality = ? AND revision > ?", (modality, revision))
            while rows := cursor.fetchmany(READ_AHEAD):
                yield self._as_vectors(rows)

    def removed_since(self, modality: str, revision: int) -> Int64Array:
        """The ids whose vectors were removed after `revision`."""
        rows = self.connection.execute(
            "SELECT id FROM removals WHERE modality = ? AND revision > ?", (modality, revision)
        )
        return np.array([row[0] for row in rows], dtype=np.int64)

    def changes_since(self, modality: str, revision: int) -> int:
        """How many vectors were stored or removed after `revision`."""
        return sum(
            self.scalar(f"SELECT count(*) FROM {table} WHERE modality = ? AND revision > ?", (modality, revision))
            for table in ("vectors", "removals")
        )

    def prune_removals(self, revision: int) -> None:
        """Forgets the removals that every saved index has seen."""
        if self.scalar("SELECT 1 FROM removals WHERE revision <= ? LIMIT 1", (revision,)):
            with self.atomic():
                self.connection.execute("DELETE FROM removals WHERE revision <= ?", (revision,))
                self.set_meta(pruned=revision)

    @property
    def pruned(self) -> int:
        """The revision up to which removals are forgotten: an index from before it cannot catch up."""
        return int(self.scalar("SELECT value FROM meta WHERE key = 'pruned'") or 0)

    def modalities(self) -> list[str]:
        """The modalities of which there are, or until lately were, vectors."""
        rows = self.connection.execute("SELECT modality FROM vectors UNION SELECT modality FROM removals")
        return [modality for (modality,) in rows]

    # items

    def items(self, ids: Sequence[int]) -> list[Item]:
        """The items of those ids, in their order; ids that are not there, or wait in `LIMBO`, are left out."""
        wanted = json.dumps([int(id) for id in ids])  # one parameter, however many: SQLite limits their number
        rows = self._item_rows("items.id IN (SELECT value FROM json_each(?))", (wanted,))
        found = {item.id: item for item in map(_item, rows)}
        return [found[id] for id in ids if id in found and found[id].path.parent != LIMBO]

    def items_at(self, path: Path, modality: str) -> list[Item]:
        """The items of the file at `path`, in their order."""
        where = "folders.path = ? AND name = ? AND files.modality = ? ORDER BY items.id"
        return list(map(_item, self._item_rows(where, (str(path.parent), path.name, modality))))

    def _item_rows(self, where: str, parameters: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        return self.connection.execute(
            "SELECT items.id, items.modality, folders.path, name, part, text, facts, size, mtime_ns FROM items "
            f"JOIN files ON files.id = file_id JOIN folders ON folders.id = folder_id WHERE {where}",
            parameters,
        )

    def ids(self, modality: str, where: str, values: Sequence[Any] = ()) -> Int64Array:
        """The ids of a modality's items for which an SQL condition over `items`, `files` and `folders` holds."""
        # a join that is not needed costs as much as a condition
        joins = "JOIN files ON files.id = file_id JOIN folders ON folders.id = folder_id" if OF_FILES(where) else ""
        rows = self.connection.execute(
            f"SELECT items.id FROM items {joins} WHERE items.modality = ? AND {where}", (modality, *values)
        )
        return np.fromiter((id for (id,) in rows), dtype=np.int64)

    def count(self, modality: str) -> int:
        """How many vectors there are of a modality."""
        return int(self.scalar("SELECT count(*) FROM vectors WHERE modality = ?", (modality,)))

    def counts(self) -> dict[str, int]:
        """How many items there are of each modality."""
        return dict(self.connection.execute("SELECT modality, count(*) FROM items GROUP BY modality"))


def facts_json(facts: Mapping[str, Any]) -> str:
    """Facts as the catalog keeps them; numbers that are none are left out, JSON knows none."""
    told = {name: fact for name, fact in facts.items() if not isinstance(fact, float) or math.isfinite(fact)}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _item(row: tuple[Any, ...]) -> Item:
    id, modality, folder, name, part, text, facts, size, mtime_ns = row
    file = {"file_size": size}
    # none is known of a file of which only a part is stored yet, and a broken clock writes years beyond 9999
    with suppress(TypeError, ValueError, OverflowError):
        file["modified"] = datetime.fromtimestamp(mtime_ns / 1e9).isoformat(timespec="seconds")
    return Item(modality, Path(folder, name), part, text, json.loads(facts) | file, id)

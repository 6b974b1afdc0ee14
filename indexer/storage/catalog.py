"""The catalog: items, their vectors and the files they come from, in SQLite; the single source of truth.

Writing goes through `atomic`, one transaction a batch. Reading may happen at any time, from any
process: the journal is a write-ahead log, so a reader sees the state of the last commit. The numbers of the vectors
lie in a file beside it, see `indexer.storage.stored_vectors`; SQLite says which of them there are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from indexer.items import Float32Array, Int64Array, Item, Source, Vectors
from indexer.storage import full_text, migrations
from indexer.storage.database import Database
from indexer.storage.files import LIMBO, Files
from indexer.storage.full_text import ReadWords
from indexer.storage.listing import Listing
from indexer.storage.stored_vectors import Seal, StoredVectors, vectors_file
from indexer.storage.tags import Tags

# Vectors of at most this many items are in memory at once: 8 MB at 256 dimensions.
READ_AHEAD = 8192

# Whether a condition is about files and where they are, and not only about items.
OF_FILES = re.compile(r"\b(files|folders|path)\b").search


# Facts anew, and with them what was read in the photo: that is the same as long as the content is.
KEEP_WORDS = """
UPDATE items SET facts = CASE WHEN words IS NULL THEN ?1
    ELSE json_set(?1, '$.words', words, '$.boxes', json(json_extract(facts, '$.boxes'))) END
WHERE file_id = ?2 AND part = ?3
"""


class StoredFile(NamedTuple):
    """A file by its id, and what it was when its vectors were made: the fingerprint of its bytes, its size and time."""

    id: int
    fingerprint: bytes | None
    size: int
    mtime_ns: int | None


class StoredPart(NamedTuple):
    """What is stored of an item: its text, its vector `[dim]`, and what its pixels told, if they were looked at."""

    text: str
    row: Float32Array
    colour: str | None


class Catalog(Database):
    """The database of a library: `files` are what the disk holds, `tags` what fits, `words` what photos say,
    `listing` reads without a question.

    It keeps items and vectors.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        super().__init__(path, readonly=readonly)
        self.files = Files(self)
        self.tags = Tags(self)
        self.words = ReadWords(self)
        self.listing = Listing(self)
        self._stored: StoredVectors | None = None

    def reader(self) -> Catalog:
        """The same catalog, by a connection of its own that only reads."""
        return Catalog(self.path, readonly=True)

    @property
    def is_begun(self) -> bool:
        """Whether it says what the library is; a catalog whose maker was killed in its first moments does not."""
        return migrations.version(self.connection) > 0 and "encoder" in self.meta()

    @property
    def stored(self) -> StoredVectors:
        """The vectors by their ids. Raises `LibraryDamaged` if the file does not hold what the catalog says."""
        path = vectors_file(self.path, self.generation)
        if self._stored is None or self._stored.path != path:
            self._close_stored()
            stored = StoredVectors(path, self.dimension, self._seals)
            stored.check(self._last_id())
            self._stored = stored
        return self._stored

    @property
    def generation(self) -> int:
        """How many encoders the library has had."""
        return int(self.scalar("SELECT value FROM meta WHERE key = 'generation'") or 1)

    @property
    def generation_name(self) -> str:
        """What tells this generation of vectors from every other: the encoder's weights and the file of vectors."""
        return f"{self.meta()['checksum']} {vectors_file(self.path, self.generation).name}"

    def _last_id(self) -> int:
        return int(self.scalar("SELECT max(id) FROM vectors") or 0)

    def _close_stored(self) -> None:
        if self._stored is not None:
            self._stored.close()
            self._stored = None

    def close(self) -> None:
        """Closes the database and the vectors."""
        self._close_stored()
        super().close()

    # writing, inside `atomic`

    @contextmanager
    def atomic(self) -> Iterator[int]:
        """One transaction, all or nothing; gives the revision that it makes. Raises `LibraryFull`, `LibraryError`."""
        with super().atomic() as revision:
            yield revision
            if self._stored is not None:
                self._stored.sync()  # before the commit: what the catalog holds is there, also after a power cut
                self._seal(self._stored)

    def _seal(self, stored: StoredVectors) -> None:
        """Records the seals of the vectors that have none, which are those that were just written."""
        start = int(self.scalar("SELECT max(first) + length FROM seals") or 1)
        if (end := self._last_id() + 1) > start:
            self.connection.executemany(migrations.PUT_SEAL, stored.seal(start, end))

    def _seals(self, ids: Collection[int] | None) -> Iterable[Seal]:
        """The seals of the places of some ids, or of all; none where the catalog may not be brought up to date."""
        if self.version < migrations.SEALED:
            return ()
        if ids is None:
            return map(Seal._make, self.connection.execute("SELECT * FROM seals"))
        sql = "SELECT * FROM seals WHERE first <= ? ORDER BY first DESC LIMIT 1"
        rows = {self.connection.execute(sql, (id,)).fetchone() for id in ids}
        return [Seal(*row) for row in rows if row]

    def put_items(self, file_id: int, items: Sequence[Item], rows: Float32Array, revision: int) -> None:
        """Stores items of a file and their vectors, `[n, dim]`."""
        _ = self.stored  # opened before there is an item whose vector it lacks
        insert = "INSERT INTO items (file_id, modality, part, text, facts) VALUES (?, ?, ?, ?, ?)"
        ids = [
            self.connection.execute(
                insert, (file_id, item.modality, item.part, item.text, facts_json(item.facts))
            ).lastrowid
            for item in items
        ]
        self.put_vectors(Vectors(np.array(ids, np.int64), rows), [item.modality for item in items], revision)

    def put_vectors(self, vectors: Vectors, modalities: Sequence[str], revision: int) -> None:
        """Stores the vectors of items that are there, each of its modality."""
        kept = ((id, modality, revision) for id, modality in zip(vectors.ids.tolist(), modalities, strict=True))
        self.connection.executemany("INSERT INTO vectors VALUES (?, ?, ?)", kept)
        self.stored.write(vectors.ids, vectors.rows)

    def move(self, file_id: int, source: Source, items: Iterable[Item]) -> bool:
        """Gives a stored file with its items and vectors a new place; ids stay. False if it is still at its old one."""
        if not self.files.move(file_id, source):
            return False
        self.connection.executemany(
            KEEP_WORDS if self.words.is_there else "UPDATE items SET facts = ? WHERE file_id = ? AND part = ?",
            [(facts_json(item.facts), file_id, item.part) for item in items],
        )
        return True

    def remove_under(self, path: Path) -> int:
        """Takes a root, folder or file out of the library, in a transaction; how many items went with it."""
        with self.atomic():
            before = self.scalar("SELECT count(*) FROM items")
            self.files.forget_under(path)
            return int(before - self.scalar("SELECT count(*) FROM items"))

    def begin_generation(
        self, encoder: str, checksum: str, dimension: int, *, fingerprints: Mapping[int, bytes] = MappingProxyType({})
    ) -> None:
        """Makes the next generation's vectors those of the library, all at once, and the library that encoder's.

        `fingerprints` are those of files, by id, whose bytes were others than the catalog knew when they were embedded.
        Indexes from before are too old to catch up. Raises `LibraryDamaged` if the next file is not whole.
        """
        old, following = self.generation, self.generation + 1
        new, end = StoredVectors(vectors_file(self.path, following), dimension), self._last_id() + 1
        new.check(end - 1)
        doubtful = {*new.unsound(np.array(self.all_ids(), np.int64)).tolist()}
        with self.atomic() as revision:
            self.connection.execute("DELETE FROM seals")
            self.connection.executemany(migrations.PUT_SEAL, new.seal(1, end, doubtful))
            self.connection.execute("UPDATE vectors SET revision = ?", (revision,))
            read = [(fingerprint, id) for id, fingerprint in fingerprints.items()]
            self.connection.executemany("UPDATE files SET fingerprint = ? WHERE id = ?", read)
            self.set_meta(
                encoder=encoder, checksum=checksum, dimension=dimension, generation=following, pruned=revision
            )
        # who reads it just now has it in memory; where that forbids it to go, it stays
        with suppress(OSError):
            vectors_file(self.path, old).unlink()

    # vectors, for indexes to catch up with

    def damaged(self) -> Int64Array:
        """The ids of the vectors that are damaged."""
        ids = np.array(self.all_ids(), np.int64)
        return self.stored.damaged(ids)

    def all_ids(self) -> list[int]:
        """The ids of all vectors, the oldest first."""
        return [id for (id,) in self.connection.execute("SELECT id FROM vectors ORDER BY id")]

    @property
    def dimension(self) -> int:
        """The length of the vectors."""
        return int(self.scalar("SELECT value FROM meta WHERE key = 'dimension'"))

    def parts_of_file(self, file_id: int) -> dict[str, StoredPart]:
        """A file's items, by part, in their order."""
        found = self.connection.execute(
            "SELECT part, text, json_extract(facts, '$.colour'), id FROM items WHERE file_id = ? ORDER BY id",
            (file_id,),
        ).fetchall()
        rows = self.stored.read(np.array([id for *_, id in found], np.int64))
        return {part: StoredPart(text, row, colour) for (part, text, colour, _), row in zip(found, rows, strict=True)}

    def vectors(self, ids: Sequence[int]) -> Vectors:
        """The vectors of items of any modality, in the order of `ids`; ids that are not there are left out."""
        wanted = json.dumps([int(id) for id in ids])  # one parameter, however many: SQLite limits their number
        sql = "SELECT id FROM vectors WHERE id IN (SELECT value FROM json_each(?))"
        there = {id for (id,) in self.connection.execute(sql, (wanted,))}
        return self._read(int(id) for id in ids if int(id) in there)

    def _read(self, ids: Iterable[int]) -> Vectors:
        known = np.fromiter(ids, np.int64)
        return Vectors(known, self.stored.read(known))

    def some_vectors(self, modality: str, count: int) -> Vectors:
        """About `count` vectors of a modality, drawn by chance, the same ones each time; all if there are fewer."""
        share = min(1.0, count / max(1, self.count(modality)))
        rows = self.connection.execute(
            "SELECT id FROM vectors WHERE modality = ? AND (id * 2654435761) & 4294967295 < ?",
            (modality, int(share * 2**32)),
        )
        return self._read(id for (id,) in rows)

    def vector_ids(self, modality: str, *, since: int = -1) -> Int64Array:
        """The ids `[n]` of a modality's vectors that were stored after the revision `since`."""
        sql = "SELECT group_concat(id) FROM vectors WHERE modality = ? AND revision > ?"
        return _as_ids(self.scalar(sql, (modality, since)))

    def vectors_since(self, modality: str, revision: int) -> Iterator[Vectors]:
        """The vectors that were stored after `revision`, in the order of their ids' insertion, in bounded pieces."""
        with closing(self.connection.cursor()) as cursor:
            cursor.execute("SELECT id FROM vectors WHERE modality = ? AND revision > ?", (modality, revision))
            while rows := cursor.fetchmany(READ_AHEAD):
                yield self._read(id for (id,) in rows)

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
        """Forgets the removals that every saved index has seen; what was forgotten before stays forgotten."""
        is_new = revision > self.pruned
        if is_new and self.scalar("SELECT 1 FROM removals WHERE revision <= ? LIMIT 1", (revision,)):
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

    def files_of(self, ids: Sequence[int]) -> dict[int, StoredFile]:
        """The file that each of the items is part of, by the item's id."""
        rows = self.connection.execute(
            "SELECT items.id, files.id, fingerprint, size, mtime_ns FROM items JOIN files ON files.id = file_id "
            "WHERE items.id IN (SELECT value FROM json_each(?))",
            (json.dumps([int(id) for id in ids]),),
        )
        return {id: StoredFile(*file) for id, *file in rows}

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

    def ids(self, modality: str, where: str = "TRUE", values: Sequence[Any] = ()) -> Int64Array:
        """The ids of a modality's items for which an SQL condition over `items`, `files` and `folders` holds."""
        # a join that is not needed costs as much as a condition
        joins = "JOIN files ON files.id = file_id JOIN folders ON folders.id = folder_id" if OF_FILES(where) else ""
        sql = f"SELECT group_concat(items.id) FROM items {joins} WHERE items.modality = ? AND {where}"
        return _as_ids(self.scalar(sql, (modality, *values)))

    def match_word(self, word: str, modality: str) -> set[int]:
        """The ids of a modality's items that hold the word, see `full_text.match_word`."""
        return full_text.match_word(self, word, modality)

    def has(self, modality: str) -> bool:
        """Whether there is a vector of a modality."""
        return self.scalar("SELECT 1 FROM vectors WHERE modality = ? LIMIT 1", (modality,)) is not None

    def count(self, modality: str) -> int:
        """How many vectors there are of a modality."""
        return int(self.scalar("SELECT count(*) FROM vectors WHERE modality = ?", (modality,)))

    def counts(self) -> dict[str, int]:
        """How many items there are of each modality."""
        return dict(self.connection.execute("SELECT modality, count(*) FROM items GROUP BY modality"))


def _as_ids(told: str | None) -> Int64Array:
    """Ids that SQLite tells as one text: 500,000 of them in 60 ms instead of 160 row by row."""
    return np.fromstring(told, np.int64, sep=",") if told else np.empty(0, np.int64)


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

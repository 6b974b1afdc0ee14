"""The catalog in PostgreSQL: the statements of the local one, and what the server does in a way of its own.

Each batch is one transaction that begins by locking the revision: writers take turns for the milliseconds that storing
takes, and embed at the same time. Two that index one photo end in one row: the second finds the first's file at its
place. Readers see whole batches, those of one question all from one moment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from psycopg.types.json import Jsonb

from indexer.errors import LibraryError, LibraryNotFound, LibraryTooNew
from indexer.items import Float32Array, Int64Array, Item, Source, Vectors, evenly_spaced
from indexer.postgres import schema
from indexer.postgres.connection import Connection, HalfVector, as_array, half_vectors
from indexer.storage.catalog import OF_FILES, Catalog, facts_json
from indexer.storage.files import Files
from indexer.storage.full_text import MOST_CAPTIONS, SHORTEST_PREFIX, ReadWords
from indexer.storage.listing import Listing
from indexer.storage.packing import pack, unpack
from indexer.storage.stored_vectors import StoredVectors
from indexer.storage.tags import Tags

# Vectors up to so many are searched exactly; see docs/scale.md for what it takes.
EXACT = 20_000

HOLDING = """
SELECT items.id FROM files JOIN items ON file_id = files.id
WHERE files.words @@ to_tsquery('names', %(name)s) AND items.modality = %(modality)s
UNION
SELECT items.id FROM folders JOIN files ON folder_id = folders.id JOIN items ON file_id = files.id
WHERE folders.words @@ to_tsquery('names', %(name)s) AND items.modality = %(modality)s
UNION
SELECT id FROM items WHERE words @@ to_tsquery('texts', %(text)s) AND modality = %(modality)s
UNION
SELECT id FROM items WHERE description_words @@ to_tsquery('texts', %(text)s) AND modality = %(modality)s
"""

CAPTIONED = """
SELECT items.id FROM (
    SELECT DISTINCT beside(folders.path, photo) AS path FROM items
    JOIN files ON files.id = file_id JOIN folders ON folders.id = folder_id
    WHERE items.words @@ to_tsquery('texts', %(text)s) AND photo IS NOT NULL
) AS captioned
JOIN folders ON folders.path = regexp_replace(captioned.path, '/[^/]*$', '')
JOIN files ON folder_id = folders.id AND files.name = regexp_replace(captioned.path, '^.*/', '')
JOIN items ON file_id = files.id WHERE items.modality = %(modality)s
"""


class Where(NamedTuple):
    """A condition that items of a modality have to meet, and how many do: at most one more than `EXACT` are counted."""

    modality: str
    sql: str
    values: tuple[Any, ...]
    total: int = 0

    @property
    def ids(self) -> str:
        """A statement that asks for the ids of those that meet it, by `modality` and `values`."""
        return f"SELECT items.id FROM items {joins_of(self.sql)} WHERE items.modality = ? AND ({self.sql})"


def joins_of(where: str) -> str:
    """What a condition over `items` needs beside them."""
    return "JOIN files ON files.id = file_id JOIN folders ON folders.id = folder_id" if OF_FILES(where) else ""


class PostgresVectors(StoredVectors):
    """The vectors in their table, with the numbers that a local library would keep."""

    def __init__(self, connection: Connection, dimension: int) -> None:
        self._connection, self.dimension = connection, dimension

    def read(self, ids: Int64Array) -> Float32Array:
        """The vectors of ids, `[n, dim]`, in their order; zero where there is none."""
        cursor = self._connection.native(
            "SELECT id, vector FROM vectors WHERE id = ANY(%s::bigint[])", (as_array(ids.tolist()),), binary=True
        )
        held = dict(cursor.fetchall())
        there = np.array([id in held for id in ids.tolist()], bool)
        rows = np.zeros((len(ids), self.dimension), np.float32)
        rows[there] = half_vectors([held[id] for id in ids[there].tolist()], self.dimension)
        return rows

    def damaged(self, ids: Int64Array) -> Int64Array:
        """None: the server looks after its pages itself."""
        return ids[:0]

    def sync(self) -> None:
        """Nothing: the server's transactions do it."""

    def close(self) -> None:
        """Nothing: the connection is the catalog's."""


class PostgresFiles(Files):
    """Roots, folders and files that several indexers look after at once."""

    # The last file when this indexer began: what has come since is another's, and no business of this one's survey.
    last: int | None = None
    noted_from = 0

    def put(self, source: Source, fingerprint: bytes | None = None, error: str | None = None) -> int:
        """The file's id, its state recorded, with the local time at which it was written."""
        file_id = super().put(source, fingerprint, error)
        self._connection.execute("UPDATE files SET written = ? WHERE id = ?", (_local_time(source), file_id))
        return file_id

    def move(self, file_id: int, source: Source) -> bool:
        """Gives a stored file a new place. False if it is still at its old one."""
        is_moved = super().move(file_id, source)
        if is_moved:
            self._connection.execute("UPDATE files SET written = ? WHERE id = ?", (_local_time(source), file_id))
        return is_moved

    def is_stored_by_another(self, source: Source) -> bool:
        """Whether another indexer has stored the file since this one began."""
        known = self.state(source.path, source.modality)
        return known is not None and self.last is not None and known.id > self.last and known.matches(source)

    def forget(self, file_ids: Iterable[int]) -> None:
        """Removes files with their items and vectors, but for those that came after this indexer began."""
        super().forget(id for id in file_ids if self.last is None or id <= self.last)


def _local_time(source: Source) -> str:
    return datetime.fromtimestamp(source.mtime_ns // 10**9).isoformat(timespec="seconds")


class PostgresCatalog(Catalog):
    """The catalog of a library on a server."""

    files: PostgresFiles

    def __init__(self, address: str, folder: Path, *, readonly: bool = False) -> None:
        """`folder` is where this machine keeps what belongs to the library. Raises `LibraryError`."""
        self.address, self._folder, self._readonly = address, folder, readonly
        self.path = folder / "catalog"
        self.server = Connection(address, readonly=readonly)
        try:
            self._make_ready()
        except BaseException:
            self.server.close()
            raise
        self.connection = cast(Any, self.server)
        self.files = PostgresFiles(self)
        self.tags = Tags(self)
        self.words = ReadWords(self, is_server=True)
        self.listing = Listing(self)
        self._stored = None
        self._kept: dict[tuple[str, ...], tuple[int, Any]] = {}
        self.committed: Callable[[int], None] = lambda _: None  # is told each revision that this one has made

    def _make_ready(self) -> None:
        if not self._readonly:
            schema.migrate(self.server)
        found = schema.version(self.server)
        if found == 0:
            raise LibraryNotFound(f"There is no library at {self.server.shown}: `descry index FOLDER` makes one.")
        if found > len(schema.STEPS):
            raise LibraryTooNew(f"The library {self.server.shown} was written by a newer Descry: update Descry.")
        if found < len(schema.STEPS):
            raise LibraryError(
                f"The library {self.server.shown} was written by an older Descry: `descry index` brings it up to date."
            )
        if not self.server.knows_vectors():
            raise LibraryError(
                f"The database {self.server.shown} has no pgvector: CREATE EXTENSION vector, 0.8 or newer."
            )

    def reader(self) -> PostgresCatalog:
        """The same catalog, by a connection of its own that only reads."""
        return PostgresCatalog(self.address, self._folder, readonly=True)

    def begin(self, **meta: str | int) -> None:
        """Makes it the library of an encoder, whose `dimension` its vectors have."""
        with self.atomic():
            if not self.is_begun:  # by another process, while this one waited
                self.server.native(f"ALTER TABLE vectors ALTER COLUMN vector TYPE halfvec({int(meta['dimension'])})")
                self.set_meta(**meta)

    @property
    def is_begun(self) -> bool:
        """Whether it says what the library is."""
        return "encoder" in self.meta()

    @property
    def stored(self) -> StoredVectors:
        """The vectors by their ids."""
        if self._stored is None:
            self._stored = PostgresVectors(self.server, self.dimension)
        return self._stored

    def close(self) -> None:
        """Closes the connection."""
        self.server.close()

    # as a database

    @contextmanager
    def atomic(self) -> Iterator[int]:
        """One transaction, all or nothing, which waits for others that write; gives the revision that it makes."""
        self.server.native("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            self.server.native("INSERT INTO meta VALUES ('revision', '0') ON CONFLICT DO NOTHING")
            self.server.native("SELECT value FROM meta WHERE key = 'revision' FOR UPDATE")
            revision = self.revision + 1
            self.set_meta(revision=revision)
            yield revision
            self.server.native("COMMIT")
        except BaseException:
            if self.server.in_transaction:
                self.server.native("ROLLBACK")
            raise
        self.committed(revision)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads inside see one state of the catalog, whatever is committed meanwhile; one in another is the same."""
        if self.server.in_transaction:
            yield
            return
        self.server.native("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            if self.server.in_transaction:
                self.server.native("ROLLBACK")

    def set_meta(self, **values: str | int) -> None:
        """Records facts of the library itself."""
        self.server.executemany(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [(key, Jsonb(value)) for key, value in values.items()],
        )

    @property
    def version(self) -> int:
        """The steps of the schema's history that were taken."""
        return schema.version(self.server)

    def register_functions(self, functions: Mapping[str, tuple[int, Callable[..., Any]]]) -> None:
        """Nothing: the schema has what conditions need."""

    def size(self) -> int:
        """Bytes on the server, indexes and all."""
        sql = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = 'descry'::regnamespace"
        return int(self.scalar(f"{sql} AND relkind = 'r'") or 0)

    # items and vectors

    def put_items(self, file_id: int, items: Sequence[Item], rows: Float32Array, revision: int) -> None:
        """Stores items of a file and their vectors, `[n, dim]`."""
        if not items:
            return
        told = [(item.modality, item.part, item.text, facts_json(item.facts)) for item in items]
        columns = [[value.replace("\0", "") for value in column] for column in zip(*told, strict=True)]
        ids = self.server.native(
            "INSERT INTO items (file_id, modality, part, text, facts) "
            "SELECT files.id, given.modality, given.part, given.text, given.facts "
            "FROM files, unnest(%s::text[], %s::text[], %s::text[], %s::text[]) "
            "WITH ORDINALITY AS given (modality, part, text, facts, place) WHERE files.id = %s "
            "ORDER BY place RETURNING id",
            (*columns, file_id),
        ).fetchall()
        if not ids:  # another indexer has stored the whole file meanwhile, and swept this one away
            return
        known = np.array(sorted(id for (id,) in ids), np.int64)
        self.put_vectors(Vectors(known, rows), [item.modality for item in items], revision)

    def put_vectors(self, vectors: Vectors, modalities: Sequence[str], revision: int) -> None:
        """Stores the vectors of items that are there, each of its modality, with the numbers that a folder would keep.

        See `indexer.storage.packing`: they are float16 numbers too.
        """
        kept = map(HalfVector, unpack(pack(vectors.rows), self.dimension))
        told = zip(vectors.ids.tolist(), modalities, repeat(revision), kept)
        self.server.copy("vectors (id, modality, revision, vector)", ["int8", "text", "int8", "halfvec"], told)

    def modalities(self) -> list[str]:
        """The modalities of which there are vectors."""
        return [modality for (modality,) in self.server.native("SELECT DISTINCT modality FROM vectors ORDER BY 1")]

    def count(self, modality: str) -> int:
        """How many vectors there are of a modality; counted once a revision."""
        return int(self._once("count", modality, make=lambda: super(PostgresCatalog, self).count(modality)))

    def match_word(self, word: str, modality: str) -> set[int]:
        """The ids of a modality's items that hold the word, as `full_text.match_word` has it."""
        (told,) = self.server.native("SELECT trim(folded(%s))", (word,)).fetchone() or ("",)
        text = f"'{told}'"
        name = f"{text}:*" if len(word) >= SHORTEST_PREFIX else text
        asked: Any = {"text": text, "name": name, "modality": modality}
        found = {id for (id,) in self.server.native(HOLDING, asked)}
        captions = self.server.native("SELECT count(*) FROM items WHERE words @@ to_tsquery('texts', %s)", (text,))
        ((count,),) = captions.fetchall()
        if 0 < count <= MOST_CAPTIONS:
            found |= {id for (id,) in self.server.native(CAPTIONED, asked)}
        return found

    def where(self, modality: str, sql: str, values: Sequence[Any]) -> Where:
        """A condition over `items`, `files` and `folders`, and how many items meet it, as far as that matters."""
        where = Where(modality, sql, tuple(values))
        count = f"SELECT count(*) FROM ({where.ids} LIMIT ?) AS met"
        return where._replace(total=int(self.scalar(count, (modality, *values, EXACT + 1))))

    def passing(self, ids: Iterable[int], condition: Where) -> set[int]:
        """Those of the ids for which the condition holds."""
        given = json.dumps(list(ids))
        sql = f"({condition.sql}) AND items.id IN (SELECT value FROM json_each(?))"
        return set(self.ids(condition.modality, sql, (*condition.values, given)).tolist())

    def evenly_spread(self, modality: str, count: int) -> Float32Array:
        """Vectors `[m, dim]` that stand for all of a modality, the same that an exact index would take."""
        return cast(
            Float32Array, self._once("sample", modality, str(count), make=lambda: self._spread(modality, count))
        )

    def _spread(self, modality: str, count: int) -> Float32Array:
        places = evenly_spaced(self.count(modality), count)
        ids = self.server.native(
            "SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM vectors WHERE modality = %s) "
            "AS placed WHERE place = ANY(%s::bigint[]) ORDER BY id",
            (modality, as_array(places.tolist())),
        ).fetchall()
        return self.stored.read(np.array([id for (id,) in ids], np.int64))

    def _once(self, *question: str, make: Callable[[], Any]) -> Any:
        """An answer that is kept until the library changes."""
        revision = self.revision
        if question not in self._kept or self._kept[question][0] != revision:
            self._kept[question] = revision, make()
        return self._kept[question][1]

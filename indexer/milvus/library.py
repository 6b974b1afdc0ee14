"""A library with its catalog in PostgreSQL, whose nearest vectors are found by Milvus, over as many machines as it has.

The catalog is the truth and has all, vectors too. Milvus has a copy of the vectors with the facts that filters ask
for, and the catalog a journal of what that copy lacks: triggers note each vector that comes, goes or is given other
facts, whoever writes, and indexers send what is noted. A question asks Milvus for candidates, and the catalog compares
them, and what the journal notes, by its own vectors and conditions. So an answer never has what was removed, half a
batch or an old fact, and Milvus can be filled anew from the catalog.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from uuid import uuid4
from zlib import crc32

from psycopg.types.json import Jsonb

from indexer.encoders.base import Encoder
from indexer.errors import LibraryNotFound
from indexer.items import Float32Array
from indexer.milvus.connection import MOST_FOUND, TEXT_BYTES, UNKNOWN, Address, Collection, read_address
from indexer.milvus.expressions import FOLDED, NUMBERS, TEXTS, expression
from indexer.postgres.catalog import PostgresCatalog, Where
from indexer.postgres.connection import as_array, half_vectors
from indexer.postgres.library import Kept, PostgresLibrary
from indexer.postgres.nearest import EF_SEARCH, ROUNDING, Candidates, PostgresIndexes, compared

# What the library is called in Milvus, in the catalog's meta.
NAME = "milvus"

# Changes that are sent at once, 1.4 MB of vectors of 256 numbers; and after how many batches a writer sends, so that
# the journal, of which a question compares all, stays at some thousand.
SENT, BATCHES = 1000, 16

# Whoever sends has this advisory lock: any number that nobody else uses.
SENDING = 0x6D696C76

JOURNAL = """
CREATE TABLE IF NOT EXISTS descry.journal (id bigint PRIMARY KEY, revision bigint NOT NULL);
CREATE OR REPLACE FUNCTION descry.note(changed bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO descry.journal SELECT changed, (value #>> '{}')::bigint FROM descry.meta WHERE key = 'revision'
    ON CONFLICT (id) DO UPDATE SET revision = excluded.revision
$$;
CREATE OR REPLACE FUNCTION descry.note_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM descry.note(coalesce(NEW.id, OLD.id));
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION descry.note_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM descry.note(id) FROM descry.items WHERE file_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER vectors_noted AFTER INSERT OR DELETE ON descry.vectors
    FOR EACH ROW EXECUTE FUNCTION descry.note_row();
CREATE OR REPLACE TRIGGER items_noted AFTER UPDATE OF facts ON descry.items
    FOR EACH ROW EXECUTE FUNCTION descry.note_row();
CREATE OR REPLACE TRIGGER files_noted AFTER UPDATE OF folder_id, name ON descry.files
    FOR EACH ROW EXECUTE FUNCTION descry.note_file();
"""

FIELDS = ("modality", *NUMBERS, *TEXTS, *FOLDED)
ROWS = f"""
SELECT vectors.id, vector, {
    ", ".join(
        ["vectors.modality"]
        + [f"coalesce({sql}, {UNKNOWN})::float8" for sql in NUMBERS.values()]
        + [f"left(coalesce({sql}, ''), {TEXT_BYTES // 4})" for sql in (TEXTS | FOLDED).values()]
    )
}
FROM vectors JOIN items ON items.id = vectors.id JOIN files ON files.id = file_id JOIN folders ON folders.id = folder_id
WHERE vectors.id = ANY(%s::bigint[])
"""

# Of what the copy is made: a version of Descry that sends more facts makes another.
VERSION = f"{crc32(ROWS.encode()):08x}"


class MilvusIndex:
    """The copy of a catalog's vectors in Milvus: an `indexer.postgres.nearest.ApproximateIndex`."""

    most = MOST_FOUND

    def __init__(self, catalog: PostgresCatalog, collection: Collection) -> None:
        self._catalog, self._server, self._collection = catalog, catalog.server, collection

    def begin(self) -> None:
        """Makes the copy, unless it is there: all that the catalog has is noted, to be sent."""
        with self._server.alone(SENDING, wait=True):
            if not self._collection.is_there():
                self._server.native("INSERT INTO journal SELECT id, 0 FROM vectors ON CONFLICT DO NOTHING")
                self._collection.create(self._catalog.dimension)

    def candidates(self, modality: str, query: Float32Array, depth: int, where: Where | None) -> Candidates:
        """See `ApproximateIndex`. What the journal notes is compared with what Milvus finds."""
        told = self.told(modality, where)
        condition = f"AND vectors.id IN ({where.ids})" if where else ""
        values = (where.modality, *where.values) if where else ()
        limit = depth
        while True:
            ids, last = self._collection.nearest(query, told, limit, ef=max(EF_SEARCH, 2 * limit))
            among = "AND vectors.id = ANY(ARRAY(SELECT unnest(?::bigint[]) UNION SELECT id FROM journal))"
            found, rows = compared(
                self._catalog, modality, query, depth, f"{among} {condition}", (as_array(ids.tolist()), *values)
            )
            seen = rows @ query >= last - ROUNDING  # what is farther than the last may have others before it
            if limit == self.most or (seen.all() and (len(found) == depth or len(ids) < limit)):
                return found[seen], rows[seen]
            limit = min(4 * limit, self.most)

    def told(self, modality: str, where: Where | None) -> str:
        """What Milvus is told to look among: what a condition lets through, and maybe more."""
        told = f'modality == "{modality}"'
        if where is not None and (more := expression(where.sql, where.values, self._ask)):
            told += f" and ({more})"
        return told

    def _ask(self, sql: str, values: Any) -> list[Any]:
        return [row[0] for row in self._server.execute(sql, values)]

    def save(self) -> None:
        """Sends all that the journal notes."""
        with self._server.alone(SENDING, wait=True):
            self._send()

    def follow(self, revision: int) -> None:
        """Sends what the journal notes after some batches, unless somebody else does."""
        if revision % BATCHES == 0:
            with self._server.alone(SENDING, wait=False) as is_alone:
                if is_alone:
                    self._send()

    def _send(self) -> None:
        """Sends the journal's items as the catalog has them, those that it no longer has as removed."""
        while True:
            with self._catalog.snapshot():
                revision = self._catalog.revision
                noted = self._server.native("SELECT id FROM journal ORDER BY id LIMIT %s", (SENT,)).fetchall()
                ids = [id for (id,) in noted]
                rows = self._server.native(ROWS, (as_array(ids),), binary=True).fetchall()
            if not ids:
                return
            vectors = half_vectors([vector for _, vector, *_ in rows], self._catalog.dimension)
            self._collection.upsert(
                [
                    {"id": id, "vector": vector, **dict(zip(FIELDS, facts, strict=True))}
                    for vector, (id, _, *facts) in zip(vectors, rows, strict=True)
                ]
            )
            self._collection.delete(sorted({*ids} - {id for id, *_ in rows}))
            with self._server.raw.transaction():
                self._server.native("SELECT FROM meta WHERE key = 'revision' FOR UPDATE")  # the turn of those who write
                self._server.native(  # what has changed meanwhile stays
                    "DELETE FROM journal WHERE id = ANY(%s::bigint[]) AND revision <= %s", (as_array(ids), revision)
                )

    def behind(self) -> int:
        """How many changes of the catalog have not been sent."""
        return int(self._catalog.scalar("SELECT count(*) FROM journal"))


class MilvusLibrary(PostgresLibrary):
    """An open library in PostgreSQL and Milvus."""

    _collection: Collection | None = None

    @classmethod
    def open(cls, path: Path | str, *, readonly: bool = True) -> MilvusLibrary:
        """The library at an address. Raises `LibraryError`."""
        address = read_address(str(path))
        library = cast(MilvusLibrary, super().open(address.catalog, readonly=readonly))
        return library._connected(address, begins=False)

    @classmethod
    def create(cls, path: Path | str, encoder: Encoder) -> MilvusLibrary:
        """The library at an address, made if there is none, open for writing with this encoder."""
        address = read_address(str(path))
        library = cast(MilvusLibrary, super().create(address.catalog, encoder))
        return library._connected(address, begins=True)

    def _connected(self, address: Address, *, begins: bool) -> MilvusLibrary:
        """This library with its vectors in Milvus; `begins` makes what is missing there, or it raises."""
        cast(Kept, self.path).address = address.shown
        try:
            name = self._begun() if begins else self.catalog.meta().get(NAME)
            self._collection = Collection(address, f"{name}_{VERSION}")
            index = MilvusIndex(self.server, self._collection)
            if begins:
                index.begin()
            elif name is None or not self._collection.is_there():
                raise LibraryNotFound(f"Milvus has no vectors of {address.shown}: `descry index FOLDER` sends them.")
        except BaseException:
            self.close()
            raise
        self.indexes = cast(Any, PostgresIndexes(self.server, index))
        self.server.committed = index.follow
        return self

    def _begun(self) -> str:
        """What the library is called in Milvus; the first time, it is named, and the journal begins."""
        server = self.server.server
        with server.alone(SENDING, wait=True):
            if NAME not in self.catalog.meta():
                with server.raw.transaction():
                    server.native(JOURNAL)
                    server.native("INSERT INTO meta VALUES (%s, %s)", (NAME, Jsonb(f"descry_{uuid4().hex}")))
        return str(self.catalog.meta()[NAME])

    def close(self) -> None:
        """Closes both connections."""
        if self._collection is not None:
            self._collection.close()
        super().close()


STORE = MilvusLibrary

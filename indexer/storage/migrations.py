"""The history of the catalog's schema: a tuple of steps, of which `PRAGMA user_version` counts those taken."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from indexer.errors import LibraryError
from indexer.storage.packing import pack, width
from indexer.storage.stored_vectors import StoredVectors, vectors_file

# Vectors that are moved at once: 25 MB at 512 dimensions.
MOVED = 32_768

FIRST = """
-- what the library is: its encoder, dimension and revision (counts committed batches)
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- what was asked to be indexed; `volume` is the mount point it was on, to tell an absent drive from deleted photos
CREATE TABLE roots (path TEXT PRIMARY KEY, volume TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE folders (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);

-- `mtime_ns` is NULL while a file is only partly stored; `error` says why a file holds no items
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    folder_id INTEGER NOT NULL REFERENCES folders(id),
    name TEXT NOT NULL,
    modality TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER,
    fingerprint BLOB,
    error TEXT,
    UNIQUE (folder_id, name, modality)
);
CREATE INDEX files_by_fingerprint ON files (fingerprint) WHERE fingerprint IS NOT NULL;
CREATE INDEX files_failed ON files (folder_id) WHERE error IS NOT NULL;

-- places that could not be looked at in the last run over them: they have no size and time to compare
CREATE TABLE blocked (path TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;

-- ids are never used again (AUTOINCREMENT) and an id's vector never changes: a cached index can trust them
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    file_id INTEGER NOT NULL REFERENCES files(id) ON DELETE CASCADE,
    modality TEXT NOT NULL,
    part TEXT NOT NULL,
    text TEXT NOT NULL,
    facts TEXT NOT NULL,
    UNIQUE (file_id, part)
);

-- which vectors there are; the numbers themselves lay here once, see `_vectors_into_a_file`
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY REFERENCES items(id) ON DELETE CASCADE,
    modality TEXT NOT NULL,
    revision INTEGER NOT NULL,
    vector BLOB NOT NULL
);
CREATE INDEX vectors_by_revision ON vectors (modality, revision);

-- what a cached index has to forget to catch up
CREATE TABLE removals (
    id INTEGER PRIMARY KEY,
    modality TEXT NOT NULL,
    revision INTEGER NOT NULL
);
CREATE TRIGGER vectors_removed AFTER DELETE ON vectors BEGIN
    INSERT INTO removals VALUES (old.id, old.modality, (SELECT value FROM meta WHERE key = 'revision'));
END;
"""


def _full_text(table: str, source: str, column: str, tokenizer: str, *, has: str, updated: str, positions: bool) -> str:
    """An index over the words of a column, kept up with it: of rows that have some, and after what is `updated`.

    Without positions, and without sizes, which nobody asks for: of Flickr8k that is 25 bytes a photo and 13 a caption
    (with both 40 and 45), and 12 and 23 microseconds of indexing. A folder's words stand once for all its files.
    """
    detail = "full" if positions else "none"
    put = f"INSERT INTO {table} (rowid, {column}) SELECT new.id, new.{column} WHERE {has.format(row='new')};"
    take = (
        f"INSERT INTO {table} ({table}, rowid, {column}) "
        f"SELECT 'delete', old.id, old.{column} WHERE {has.format(row='old')};"
    )
    changed = f"""
CREATE TRIGGER {table}_changed AFTER UPDATE OF {updated} ON {source} WHEN old.{column} IS NOT new.{column} BEGIN
    {take}
    {put}
END;
"""
    return f"""
CREATE VIRTUAL TABLE {table} USING fts5(
    {column}, content = '{source}', content_rowid = 'id', tokenize = '{tokenizer}', detail = {detail}, columnsize = 0
);
CREATE TRIGGER {table}_added AFTER INSERT ON {source} BEGIN
    {put}
END;
CREATE TRIGGER {table}_removed AFTER DELETE ON {source} BEGIN
    {take}
END;
{changed if updated else ""}"""


# Texts by their stems ("dogs" is "dog"), names as they are: a word may begin one ("Germany2019").
STEMS, AS_THEY_ARE = "porter unicode61", "unicode61"
WORDS = f"""
{_full_text("folder_words", "folders", "path", AS_THEY_ARE, has="1", updated="", positions=False)}
{_full_text("file_words", "files", "name", AS_THEY_ARE, has="1", updated="name", positions=False)}
{_full_text("text_words", "items", "text", STEMS, has="{row}.text != ''", updated="", positions=False)}
INSERT INTO folder_words (folder_words) VALUES ('rebuild');
INSERT INTO file_words (file_words) VALUES ('rebuild');
INSERT INTO text_words (text_words) VALUES ('rebuild');
"""

TAGS = """
-- what fits an item, by `descry tag`; a photo has few
CREATE TABLE tags (
    tag TEXT NOT NULL COLLATE NOCASE,
    item_id INTEGER NOT NULL REFERENCES items(id) ON DELETE CASCADE,
    probability REAL NOT NULL,
    PRIMARY KEY (tag, item_id)
) WITHOUT ROWID;
CREATE INDEX tags_by_item ON tags (item_id);
"""

# What filters look up: the day and the camera of a photo. See `BY_COLUMNS`, which is quicker.
BY_FACTS = """
CREATE INDEX items_by_day ON items (CAST(julianday(substr(json_extract(facts, '$.taken'), 1, 10)) + 0.5 AS INTEGER));
CREATE INDEX items_by_camera ON items (json_extract(facts, '$.camera'))
    WHERE json_extract(facts, '$.camera') IS NOT NULL;
"""

# A table anew, as a column that is dropped leaves its bytes in the pages.
WITHOUT_NUMBERS = """
CREATE TABLE kept (
    id INTEGER PRIMARY KEY REFERENCES items(id) ON DELETE CASCADE,
    modality TEXT NOT NULL,
    revision INTEGER NOT NULL
);
INSERT INTO kept SELECT id, modality, revision FROM vectors;
DROP TABLE vectors;
ALTER TABLE kept RENAME TO vectors;
CREATE INDEX vectors_by_revision ON vectors (modality, revision);
CREATE TRIGGER vectors_removed AFTER DELETE ON vectors BEGIN
    INSERT INTO removals VALUES (old.id, old.modality, (SELECT value FROM meta WHERE key = 'revision'));
END;
"""


def _vectors_into_a_file(connection: sqlite3.Connection) -> None:
    """Takes the vectors, of twelve bits a number or float16, out of the rows of the catalog. Raises `LibraryFull`."""
    dimension = connection.execute("SELECT value FROM meta WHERE key = 'dimension'").fetchone()
    if dimension is not None:
        (_, _, path) = connection.execute("PRAGMA database_list").fetchone()
        stored = StoredVectors(vectors_file(Path(path), 1), int(dimension[0]))
        with closing(stored), closing(connection.execute("SELECT id, vector FROM vectors")) as vectors:
            while rows := vectors.fetchmany(MOVED):
                records = b"".join(_record(vector, stored.dimension) for _, vector in rows)
                ids = np.array([id for id, _ in rows], np.int64)
                stored.write_records(ids, np.frombuffer(records, np.uint8).reshape(len(rows), -1))
            stored.sync()
    for statement in _statements(WITHOUT_NUMBERS):
        connection.execute(statement)


def _record(vector: bytes, dimension: int) -> bytes:
    if len(vector) == width(dimension):
        return vector
    return pack(np.frombuffer(vector, "<f2")[np.newaxis].astype(np.float32)).tobytes()


# The day that a photo was taken, as a Julian day number, or that its file was written where no camera said so: here and
# then, as the clock showed it. With the camera it is what filters look up, and each index holds all that they need: of
# a million photos a tenth in 12 ms and a half in 60, which took 73 and 250 (of a day 130, of years 200 to 790) where
# items, JSON and files had to be looked at. 15 bytes more a photo, and 12 microseconds of indexing. Neither begins with
# the modality: SQLite would prefer it to better indexes, believing that few items are photos.
_TAKEN = "CAST(julianday(substr(json_extract(facts, '$.taken'), 1, 10)) + 0.5 AS INTEGER)"
_WRITTEN = "CAST(julianday(mtime_ns / 1000000000, 'unixepoch', 'localtime') + 0.5 AS INTEGER)"
_SET_DAY = f"UPDATE items SET day = coalesce({_TAKEN}, (SELECT {_WRITTEN} FROM files WHERE files.id = file_id))"

BY_COLUMNS = f"""
DROP INDEX items_by_day;
DROP INDEX items_by_camera;
ALTER TABLE items ADD COLUMN day INTEGER;
ALTER TABLE items ADD COLUMN camera TEXT AS (json_extract(facts, '$.camera')) VIRTUAL;
{_SET_DAY};
CREATE INDEX items_by_day ON items (day, modality);
CREATE INDEX items_by_camera ON items (camera, modality) WHERE camera IS NOT NULL;
CREATE TRIGGER items_added AFTER INSERT ON items BEGIN
    {_SET_DAY} WHERE id = new.id;
END;
CREATE TRIGGER items_told AFTER UPDATE OF facts ON items BEGIN
    {_SET_DAY} WHERE id = new.id;
END;
CREATE TRIGGER files_written AFTER UPDATE OF mtime_ns ON files BEGIN
    {_SET_DAY} WHERE file_id = new.id AND {_TAKEN} IS NULL;
END;
"""

# What the facts of a file's items were read by and from; '' for what an earlier version read: its facts are read anew.
FACTS_VERSION = "ALTER TABLE files ADD COLUMN facts_version TEXT NOT NULL DEFAULT '';"

# What people wrote about a photo, in it or beside it: found by its words like the texts.
DESCRIPTIONS = f"""
ALTER TABLE items ADD COLUMN description TEXT AS (
    nullif(
        coalesce(json_extract(facts, '$.description'), '') || ' '
            || coalesce(json_extract(facts, '$.keywords'), ''),
        ' '
    )
) VIRTUAL;
{
    _full_text(
        *("description_words", "items", "description", STEMS),
        has="{row}.description IS NOT NULL",
        updated="facts",
        positions=False,
    )
}
"""

# What is amiss with a file that was read all the same; checksums of the vectors, see `stored_vectors.Seal`: 4.2 bytes a
# vector.
NOTES_AND_SEALS = """
ALTER TABLE files ADD COLUMN note TEXT;
CREATE INDEX files_noted ON files (folder_id) WHERE note IS NOT NULL;
CREATE TABLE seals (first INTEGER PRIMARY KEY, length INTEGER NOT NULL, digest BLOB NOT NULL, each BLOB NOT NULL);
"""

PUT_SEAL = "INSERT INTO seals VALUES (?, ?, ?, ?)"


def _seal(connection: sqlite3.Connection) -> None:
    """Takes the vectors as they are, but for those of wrong lengths: these have been damaged."""
    meta = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('dimension', 'generation')"))
    ids = np.array([id for (id,) in connection.execute("SELECT id FROM vectors ORDER BY id")], np.int64)
    if len(ids):
        (_, _, path) = connection.execute("PRAGMA database_list").fetchone()
        stored = StoredVectors(vectors_file(Path(path), int(meta.get("generation", 1))), int(meta["dimension"]))
        with suppress(LibraryError):  # who asks for the vectors is told
            doubtful = {*stored.unsound(ids).tolist()}
            connection.executemany(PUT_SEAL, stored.seal(1, int(ids[-1]) + 1, doubtful))


# Words that were read in photos lie in their facts; any three signs in a row find them, as people ask for codes by
# parts of these. `read_items` are the photos that were looked at.
READ_WORDS = """
ALTER TABLE items ADD COLUMN words TEXT AS (nullif(json_extract(facts, '$.words'), '')) VIRTUAL;
CREATE TABLE read_items (id INTEGER PRIMARY KEY REFERENCES items(id) ON DELETE CASCADE);
"""


def _read_words(connection: sqlite3.Connection) -> None:
    """Room for words; an SQLite from before trigrams finds whole ones only."""
    tokenizer = "trigram" if sqlite3.sqlite_version_info >= (3, 34) else "unicode61"
    has = "{row}.words IS NOT NULL"
    index = _full_text("read_words", "items", "words", tokenizer, has=has, updated="facts", positions=True)
    for statement in _statements(READ_WORDS + index):
        connection.execute(statement)


Step = str | Callable[[sqlite3.Connection], None]

STEPS: tuple[Step, ...] = (
    *(FIRST, WORDS, TAGS, BY_FACTS, _vectors_into_a_file, BY_COLUMNS, FACTS_VERSION, DESCRIPTIONS),
    *(NOTES_AND_SEALS, _seal, _read_words),
)

# The last step without which a catalog cannot be read at all; those from which on it keeps notes and seals.
NEEDED, NOTED, SEALED = 6, 9, 10


def version(connection: sqlite3.Connection) -> int:
    """How many steps the catalog has taken."""
    (taken,) = connection.execute("PRAGMA user_version").fetchone()
    return int(taken)


def migrate(connection: sqlite3.Connection) -> None:
    """Takes the steps that the catalog lacks, all in one transaction. Raises `LibraryFull`."""
    if version(connection) == len(STEPS):
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:  # commits, or rolls back
        for step in STEPS[version(connection) :]:  # asked again: another process may have been quicker
            _take(step, connection)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
    _give_back(connection)


def _take(step: Step, connection: sqlite3.Connection) -> None:
    if callable(step):
        step(connection)
        return
    for statement in _statements(step):
        connection.execute(statement)


def _give_back(connection: sqlite3.Connection) -> None:
    """Makes the file smaller if most of it is empty now; another time if somebody reads, or there is no room for it."""
    pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    if 2 * free > pages:
        with suppress(sqlite3.OperationalError):
            connection.execute("VACUUM")


def _statements(script: str) -> Iterator[str]:
    """The script's statements, one by one: `executescript` would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""

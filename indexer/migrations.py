"""The history of the catalog's schema: a tuple of steps, of which `PRAGMA user_version` counts those taken."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

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

-- as `indexer.packing` has them; apart from `items`, so that reading texts and facts does not wade through them
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

# Words, for search by words: indexes over what other tables hold already, kept up with them. `columnsize = 0` and
# `detail = none` leave out sizes and positions, which nobody asks for; a folder's words stand once for all its files.
# Of Flickr8k that is 25 bytes a photo and 13 a caption (with sizes and positions 40 and 45), and 12 and 23 microseconds
# of indexing. Texts by their stems ("dogs" is "dog"), names as they are: a word may begin one ("Germany2019").
WORDS = """
CREATE VIRTUAL TABLE folder_words USING fts5(
    path, content = 'folders', content_rowid = 'id', tokenize = 'unicode61', detail = none, columnsize = 0
);
CREATE TRIGGER folder_words_added AFTER INSERT ON folders BEGIN
    INSERT INTO folder_words (rowid, path) VALUES (new.id, new.path);
END;
CREATE TRIGGER folder_words_removed AFTER DELETE ON folders BEGIN
    INSERT INTO folder_words (folder_words, rowid, path) VALUES ('delete', old.id, old.path);
END;

CREATE VIRTUAL TABLE file_words USING fts5(
    name, content = 'files', content_rowid = 'id', tokenize = 'unicode61', detail = none, columnsize = 0
);
CREATE TRIGGER file_words_added AFTER INSERT ON files BEGIN
    INSERT INTO file_words (rowid, name) VALUES (new.id, new.name);
END;
CREATE TRIGGER file_words_removed AFTER DELETE ON files BEGIN
    INSERT INTO file_words (file_words, rowid, name) VALUES ('delete', old.id, old.name);
END;
CREATE TRIGGER file_words_changed AFTER UPDATE OF name ON files BEGIN
    INSERT INTO file_words (file_words, rowid, name) VALUES ('delete', old.id, old.name);
    INSERT INTO file_words (rowid, name) VALUES (new.id, new.name);
END;

CREATE VIRTUAL TABLE text_words USING fts5(
    text, content = 'items', content_rowid = 'id', tokenize = 'porter unicode61', detail = none, columnsize = 0
);
CREATE TRIGGER text_words_added AFTER INSERT ON items WHEN new.text != '' BEGIN
    INSERT INTO text_words (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER text_words_removed AFTER DELETE ON items WHEN old.text != '' BEGIN
    INSERT INTO text_words (text_words, rowid, text) VALUES ('delete', old.id, old.text);
END;

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

# What filters look up, in the terms of `search.filters`: the day and the camera of a photo. Of a million photos that is
# 11 and 19 bytes each; a camera of a thousand of them is found in 4 ms instead of 520, of a hundred thousand in 73
# instead of 620, a day in 130 to 200 instead of 670 (most of it photos without a date).
BY_FACTS = """
CREATE INDEX items_by_day ON items (CAST(julianday(substr(json_extract(facts, '$.taken'), 1, 10)) + 0.5 AS INTEGER));
CREATE INDEX items_by_camera ON items (json_extract(facts, '$.camera'))
    WHERE json_extract(facts, '$.camera') IS NOT NULL;
"""

STEPS: tuple[str, ...] = (FIRST, WORDS, TAGS, BY_FACTS)


def version(connection: sqlite3.Connection) -> int:
    """How many steps the catalog has taken."""
    (taken,) = connection.execute("PRAGMA user_version").fetchone()
    return int(taken)


def migrate(connection: sqlite3.Connection) -> None:
    """Takes the steps that the catalog lacks, all in one transaction."""
    if version(connection) == len(STEPS):
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:  # commits, or rolls back
        for step in STEPS[version(connection) :]:  # asked again: another process may have been quicker
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")


def _statements(script: str) -> Iterator[str]:
    """The script's statements, one by one: `executescript` would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""

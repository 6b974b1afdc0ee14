"""The catalog: items, their vectors and the files they come from, in SQLite; the single source of truth.

Writing goes through `atomic`, one transaction a batch. Reading may happen at any time, from any
process: the journal is a write-ahead log, so a reader sees the state of the last commit.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from indexer import migrations
from indexer.errors import LibraryDamaged, LibraryError, LibraryFull, LibraryTooNew
from indexer.items import Float32Array, Int64Array, Item, Source, Vectors

if TYPE_CHECKING:
    import sqlite_utils

# Vectors of at most this many items are in memory as blobs at once: 4 MB at 256 dimensions.
READ_AHEAD = 8192

# A folder of a thousand equal files would otherwise be looked up a million times.
DONORS_LOOKED_AT = 16

# Where a stored file waits that had to give its place to another: it may turn up elsewhere in the same run.
# No file can lie there.
LIMBO = Path("/dev/null")

# A path itself and what lies below, in the terms of `_range_below`.
AT_OR_BELOW = "path = ? OR (path >= ? AND path < ?)"


class FileState(NamedTuple):
    """A file as the catalog knows it; `mtime_ns` is None if it was only partly stored."""

    id: int
    size: int
    mtime_ns: int | None
    error: str | None

    def matches(self, source: Source) -> bool:
        """Whether the file is as it was when it was stored, or when it failed."""
        return self.size == source.size and self.mtime_ns == source.mtime_ns


class Donor(NamedTuple):
    """A stored file whose vectors fit another file, because the content is the same."""

    file_id: int
    path: Path
    size: int
    mtime_ns: int

    @property
    def has_left(self) -> bool:
        """Whether the file is no longer at its place, or is another one there."""
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # it cannot be looked at, so nothing is known
            return False
        return (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns)


class Failure(NamedTuple):
    """A file that could not be indexed, and why."""

    path: Path
    reason: str


def connect(path: Path, *, readonly: bool) -> sqlite3.Connection:
    """A connection to the catalog's file; raises `LibraryTooNew`, `LibraryDamaged` or `LibraryError`.

    A read-only one may be used from several threads, one at a time.
    """
    with _in_our_words(path):
        connection = _open_readonly(path) if readonly else sqlite3.connect(path, isolation_level=None, timeout=30)
        try:
            found = migrations.version(connection)
            if found > len(migrations.STEPS):
                raise LibraryTooNew(
                    f"The library {path.parent} was written by a newer Descry (catalog version {found}, "
                    f"this one knows {len(migrations.STEPS)}): update Descry."
                )
            if not readonly:
                _make_ready(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _make_ready(connection: sqlite3.Connection) -> None:
    """Prepares a connection for writing, and the catalog if it is new or old."""
    connection.execute("PRAGMA journal_mode = WAL")
    # in WAL mode NORMAL cannot corrupt; a power cut may cost the last batches, a kill costs none
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    migrations.migrate(connection)


def _open_readonly(path: Path) -> sqlite3.Connection:
    """Read-only, also where the files beside a write-ahead log cannot be made: then nobody can be writing either."""
    uri = path.absolute().as_uri()
    connection = _connect_uri(f"{uri}?mode=ro")
    try:
        migrations.version(connection)
    except sqlite3.Error as error:
        connection.close()
        log = path.with_name(f"{path.name}-wal")
        # on a full disk, all is in the catalog itself unless something is in the log
        in_log = os.access(path.parent, os.W_OK) and log.exists() and log.stat().st_size
        if in_log or not isinstance(error, sqlite3.OperationalError):
            raise
        connection = _connect_uri(f"{uri}?immutable=1")
    return connection


def _connect_uri(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30, check_same_thread=False)


@contextmanager
def _in_our_words(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into `LibraryFull`, `LibraryDamaged` or `LibraryError`, each with the remedy."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise _trouble(path, error) from error
    except sqlite3.DatabaseError as error:
        raise LibraryDamaged(
            f"The catalog {path} cannot be read ({error}): move {path.parent} away and index again."
        ) from error


def _trouble(path: Path, error: sqlite3.OperationalError) -> LibraryError:
    # SQLite says "full" where the disk is, and "I/O error" where its log could not grow
    if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return LibraryFull(
            f"The disk of the library {path.parent} is full or failing ({error}); everything committed "
            "before is safe: make room and run the same command again."
        )
    return LibraryError(
        f"The library {path.parent} cannot be used ({error}): see who may read and write there, and who has it open."
    )


class Catalog:
    """One SQLite file. `path` must exist unless it is opened for writing."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        self.connection = connect(path, readonly=readonly)

    @cached_property
    def db(self) -> sqlite_utils.Database:
        """sqlite-utils over the same connection. Imported late: it would double the time of a query."""
        import sqlite_utils

        return sqlite_utils.Database(self.connection)

    def close(self) -> None:
        """Closes the connection; a writer's puts what the log holds in its place, unless somebody reads just now."""
        with suppress(sqlite3.Error):
            self.connection.execute("PRAGMA busy_timeout = 0")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()

    @contextmanager
    def atomic(self) -> Iterator[int]:
        """One transaction, all or nothing; gives the revision that it makes. Raises `LibraryFull`, `LibraryError`."""
        with _in_our_words(self.path):
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                revision = self.revision + 1
                self.set_meta(revision=revision)
                yield revision
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads inside see one state of the catalog, whatever is committed meanwhile; one in another is the same."""
        if self.connection.in_transaction:
            yield
            return
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("COMMIT")

    # what the library is

    @property
    def is_begun(self) -> bool:
        """Whether it says what the library is; a catalog whose maker was killed in its first moments does not."""
        return migrations.version(self.connection) > 0 and "encoder" in self.meta()

    def meta(self) -> dict[str, Any]:
        """What is recorded of the library itself."""
        return dict(self.connection.execute("SELECT key, value FROM meta"))

    def set_meta(self, **values: str | int) -> None:
        """Records facts of the library itself."""
        self.connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    @property
    def revision(self) -> int:
        """How many batches were committed; rises with every change."""
        return int(self._scalar("SELECT value FROM meta WHERE key = 'revision'") or 0)

    @property
    def pruned(self) -> int:
        """The revision up to which removals are forgotten: an index from before it cannot catch up."""
        return int(self._scalar("SELECT value FROM meta WHERE key = 'pruned'") or 0)

    def _scalar(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        row = self.connection.execute(sql, parameters).fetchone()
        return row[0] if row else None

    # roots and folders

    def roots(self) -> dict[Path, Path]:
        """The folders and files that were asked for, each with the mount point that it was on."""
        rows = self.connection.execute("SELECT path, volume FROM roots ORDER BY path")
        return {Path(path): Path(volume) for path, volume in rows}

    def add_root(self, path: Path, volume: Path) -> None:
        """Remembers a root; asked again, remembers the mount point that it is on now."""
        if self.roots().get(path) == volume:
            return
        with self.atomic():
            # plain SQL: after an insert, sqlite-utils asks for a rowid, which this table has not
            self.connection.execute("INSERT OR REPLACE INTO roots VALUES (?, ?)", (str(path), str(volume)))

    def limit(self, root: Path) -> float:
        """The limit on pixels of the last whole run over the root; infinity before the first."""
        return float(self.meta().get(f"max_pixels {root}", "inf"))

    def set_limit(self, root: Path, max_pixels: int) -> None:
        """Records the limit on pixels of a whole run over the root."""
        if self.limit(root) != max_pixels:
            with self.atomic():
                self.set_meta(**{f"max_pixels {root}": max_pixels})

    def folders_under(self, root: Path) -> list[Path]:
        """The folders at or under `root` that hold files."""
        return [Path(path) for _, path in self._folder_rows(root)]

    def _folder_rows(self, root: Path) -> list[tuple[int, str]]:
        sql = f"SELECT id, path FROM folders WHERE {AT_OR_BELOW} ORDER BY path"
        return self.connection.execute(sql, _range_below(root)).fetchall()

    def files_in(self, folder: Path) -> dict[tuple[str, str], FileState]:
        """The known files of one folder, by name and modality."""
        rows = self.connection.execute(
            "SELECT name, modality, files.id, size, mtime_ns, error FROM files "
            "JOIN folders ON folders.id = folder_id WHERE folders.path = ?",
            (str(folder),),
        )
        return {(name, modality): FileState(*state) for name, modality, *state in rows}

    def knows(self, path: Path) -> bool:
        """Whether `path` is a root, a folder or a file of the library, or above one."""
        if path in self.roots() or self._folder_rows(path):
            return True
        sql = "SELECT 1 FROM files JOIN folders ON folders.id = folder_id WHERE folders.path = ? AND name = ?"
        return self._scalar(sql, (str(path.parent), path.name)) is not None

    def failures(self) -> list[Failure]:
        """The files that could not be indexed and the places that could not be looked at, by path."""
        rows = self.connection.execute(
            "SELECT folders.path, name, error FROM files JOIN folders ON folders.id = folder_id "
            "WHERE error IS NOT NULL UNION ALL SELECT path, '', reason FROM blocked ORDER BY 1, 2"
        )
        return [Failure(Path(folder, name), error) for folder, name, error in rows]

    def set_blocked(self, root: Path, places: Iterable[Failure]) -> None:
        """Records the places at or under `root` that cannot be looked at, instead of those known before."""
        known = self.connection.execute(f"SELECT path, reason FROM blocked WHERE {AT_OR_BELOW}", _range_below(root))
        # a name that is not UTF-8 can be shown, if not stored as it is
        shown = {os.fsencode(place.path).decode(errors="backslashreplace"): place.reason for place in places}
        if shown == dict(known):
            return
        with self.atomic():
            self.db.table("blocked").delete_where(AT_OR_BELOW, _range_below(root))
            self.connection.executemany("INSERT INTO blocked VALUES (?, ?)", shown.items())

    # writing, always inside `atomic`

    def put_file(self, source: Source, fingerprint: bytes | None = None, error: str | None = None) -> int:
        """The file's id, its state recorded; what was at its place before is displaced."""
        self._displace(source)
        cursor = self.connection.execute(
            "INSERT INTO files (folder_id, name, modality, size, mtime_ns, fingerprint, error) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self._folder_id(source.path.parent),
                source.path.name,
                source.modality,
                source.size,
                None if error is None else source.mtime_ns,
                fingerprint,
                error,
            ),
        )
        return int(cursor.lastrowid or 0)

    def _folder_id(self, folder: Path) -> int:
        self.connection.execute("INSERT OR IGNORE INTO folders (path) VALUES (?)", (str(folder),))
        return int(self._scalar("SELECT id FROM folders WHERE path = ?", (str(folder),)))

    def complete_file(self, file_id: int, source: Source) -> None:
        """Records that all items of the file are stored: from now on it counts as unchanged."""
        self.connection.execute("UPDATE files SET mtime_ns = ? WHERE id = ?", (source.mtime_ns, file_id))

    def move_file(self, file_id: int, source: Source, items: Iterable[Item]) -> bool:
        """Gives a stored file with its items and vectors a new place; ids stay. False if it is still at its old one."""
        donor = next(iter(self._donors("files.id = ?", (file_id,))), None)
        if donor is None or not (donor.path == source.path or donor.has_left):
            return False
        if donor.path != source.path:
            self._displace(source)
        self.connection.execute(
            "UPDATE files SET folder_id = ?, name = ?, mtime_ns = ? WHERE id = ?",
            (self._folder_id(source.path.parent), source.path.name, source.mtime_ns, file_id),
        )
        self.connection.executemany(
            "UPDATE items SET facts = ? WHERE file_id = ? AND part = ?",
            [(_facts_json(item.facts), file_id, item.part) for item in items],
        )
        return True

    def _displace(self, source: Source) -> None:
        """Sends the file that is known at that place, if there is one, to `LIMBO`."""
        known = self._file_id(source.path, source.modality)
        if known is not None:
            self.connection.execute(
                "UPDATE files SET folder_id = ?, name = ?, error = NULL WHERE id = ?",
                (self._folder_id(LIMBO), str(known), known),
            )

    def forget_displaced(self) -> None:
        """Removes the files that others took the place of and that turned up nowhere."""
        limbo = self._scalar("SELECT id FROM folders WHERE path = ?", (str(LIMBO),))
        if limbo is not None:
            with self.atomic():
                self.connection.execute("DELETE FROM files WHERE folder_id = ?", (limbo,))
                self.forget_empty_folders()

    def _file_id(self, path: Path, modality: str) -> int | None:
        found: int | None = self._scalar(
            "SELECT files.id FROM files JOIN folders ON folders.id = folder_id "
            "WHERE folders.path = ? AND name = ? AND modality = ?",
            (str(path.parent), path.name, modality),
        )
        return found

    def forget(self, file_ids: Iterable[int]) -> None:
        """Removes files with their items and vectors."""
        self.connection.executemany("DELETE FROM files WHERE id = ?", [(file_id,) for file_id in file_ids])

    def forget_empty_folders(self) -> None:
        """Removes the folders in which no file is left."""
        self.connection.execute("DELETE FROM folders WHERE id NOT IN (SELECT folder_id FROM files)")

    def put_items(self, file_id: int, items: Sequence[Item], rows: Float32Array, revision: int) -> None:
        """Stores items of a file and their vectors, `[n, dim]`."""
        insert = "INSERT INTO items (file_id, modality, part, text, facts) VALUES (?, ?, ?, ?, ?)"
        halves = rows.astype("<f2")
        vectors = []
        for item, half in zip(items, halves, strict=True):
            values = (file_id, item.modality, item.part, item.text, _facts_json(item.facts))
            vectors.append((self.connection.execute(insert, values).lastrowid, item.modality, revision, half.tobytes()))
        self.connection.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", vectors)

    def remove_under(self, path: Path) -> int:
        """Takes a root, folder or file out of the library; how many items went with it."""
        with self.atomic():
            before = self._scalar("SELECT count(*) FROM items")
            folders = [(folder_id,) for folder_id, _ in self._folder_rows(path)]
            self.connection.executemany("DELETE FROM files WHERE folder_id = ?", folders)
            self.connection.execute(
                "DELETE FROM files WHERE name = ? AND folder_id = (SELECT id FROM folders WHERE path = ?)",
                (path.name, str(path.parent)),
            )
            self.db.table("blocked").delete_where(AT_OR_BELOW, _range_below(path))
            for root in self.roots():
                if root.is_relative_to(path):
                    self.db.table("roots").delete(str(root))
            self.forget_empty_folders()
            return int(before - self._scalar("SELECT count(*) FROM items"))

    def prune_removals(self, revision: int) -> None:
        """Forgets the removals that every saved index has seen."""
        if self._scalar("SELECT 1 FROM removals WHERE revision <= ? LIMIT 1", (revision,)):
            with self.atomic():
                self.connection.execute("DELETE FROM removals WHERE revision <= ?", (revision,))
                self.set_meta(pruned=revision)

    # reading

    def donor(self, fingerprint: bytes, modality: str) -> Donor | None:
        """A wholly stored file of the same content, by preference one that is no longer at its place."""
        donors = self._donors("fingerprint = ? AND modality = ?", (fingerprint, modality))
        return min(donors, key=lambda donor: not donor.has_left, default=None)

    def _donors(self, where: str, parameters: Sequence[Any]) -> list[Donor]:
        rows = self.connection.execute(
            "SELECT files.id, folders.path, name, size, mtime_ns FROM files JOIN folders ON folders.id = folder_id "
            f"WHERE {where} AND error IS NULL AND mtime_ns IS NOT NULL LIMIT {DONORS_LOOKED_AT}",
            parameters,
        )
        return [Donor(file_id, Path(folder, name), *state) for file_id, folder, name, *state in rows]

    def vectors_of_file(self, file_id: int) -> dict[str, Float32Array]:
        """The vectors `[dim]` of a file's items, by part."""
        rows = self.connection.execute(
            "SELECT part, vector FROM items JOIN vectors USING (id) WHERE file_id = ?", (file_id,)
        )
        return {part: np.frombuffer(vector, "<f2").astype(np.float32) for part, vector in rows}

    def vectors_since(self, modality: str, revision: int) -> Iterator[Vectors]:
        """The vectors that were stored after `revision`, in the order of their ids' insertion, in bounded pieces."""
        with closing(self.connection.cursor()) as cursor:
            cursor.execute("SELECT id, vector FROM vectors WHERE modality = ? AND revision > ?", (modality, revision))
            while rows := cursor.fetchmany(READ_AHEAD):
                ids = np.array([row[0] for row in rows], dtype=np.int64)
                halves = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f2").reshape(len(rows), -1)
                yield Vectors(ids, halves.astype(np.float32))

    def removed_since(self, modality: str, revision: int) -> Int64Array:
        """The ids whose vectors were removed after `revision`."""
        rows = self.connection.execute(
            "SELECT id FROM removals WHERE modality = ? AND revision > ?", (modality, revision)
        )
        return np.array([row[0] for row in rows], dtype=np.int64)

    def items(self, ids: Sequence[int]) -> list[Item]:
        """The items of those ids, in their order; ids that are not there are left out."""
        wanted = json.dumps([int(id) for id in ids])  # one parameter, however many: SQLite limits their number
        rows = self._item_rows("items.id IN (SELECT value FROM json_each(?))", (wanted,))
        found = {item.id: item for item in map(_item, rows)}
        return [found[id] for id in ids if id in found]

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

    def changes_since(self, modality: str, revision: int) -> int:
        """How many vectors were stored or removed after `revision`."""
        return sum(
            self._scalar(f"SELECT count(*) FROM {table} WHERE modality = ? AND revision > ?", (modality, revision))
            for table in ("vectors", "removals")
        )

    def modalities(self) -> list[str]:
        """The modalities of which there are, or until lately were, vectors."""
        rows = self.connection.execute("SELECT modality FROM vectors UNION SELECT modality FROM removals")
        return [modality for (modality,) in rows]

    def ids(self, modality: str, where: str, values: Sequence[Any] = ()) -> Int64Array:
        """The ids of a modality's items for which an SQL condition over `items`, `files` and `folders` holds."""
        rows = self.connection.execute(
            "SELECT items.id FROM items JOIN files ON files.id = file_id JOIN folders ON folders.id = folder_id "
            f"WHERE items.modality = ? AND {where}",
            (modality, *values),
        )
        return np.array([id for (id,) in rows], dtype=np.int64)

    def counts(self) -> dict[str, int]:
        """How many items there are of each modality."""
        return dict(self.connection.execute("SELECT modality, count(*) FROM items GROUP BY modality"))


def _range_below(root: Path) -> tuple[str, str, str]:
    """The path itself, and the range of what lies below, without its end: "0" is the character behind "/"."""
    below = str(root).rstrip("/")
    return str(root), f"{below}/", f"{below}0"


def _facts_json(facts: Mapping[str, Any]) -> str:
    return json.dumps(dict(facts), ensure_ascii=False, separators=(",", ":"))


def _item(row: tuple[Any, ...]) -> Item:
    id, modality, folder, name, part, text, facts, size, mtime_ns = row
    file = {"file_size": size}
    # none is known of a file of which only a part is stored yet, and a broken clock writes years beyond 9999
    with suppress(TypeError, ValueError, OverflowError):
        file["modified"] = datetime.fromtimestamp(mtime_ns / 1e9).isoformat(timespec="seconds")
    return Item(modality, Path(folder, name), part, text, json.loads(facts) | file, id)

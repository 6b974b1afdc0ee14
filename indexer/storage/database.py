"""The catalog's SQLite file: opened, written in transactions, read as of one moment; its errors in our words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, cast

from indexer.errors import LibraryDamaged, LibraryError, LibraryFull, LibraryTooNew
from indexer.storage import migrations

# Bytes of a page, fixed when a catalog is made.
PAGE = 16_384

# Kilobytes of pages that a writer keeps: all of an index of a million photos; SQLite keeps 2000 of itself.
WRITER_KEEPS = 65_536

# Seconds to wait for somebody who is writing; a batch takes a hundredth of it.
PATIENCE = 30.0


class Database:
    """One SQLite file, which must exist unless it is opened for writing. Counts its changes as revisions."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        self.connection = connect(path, readonly=readonly)

    def close(self) -> None:
        """Closes the connection; a writer's puts what the log holds in its place, unless somebody reads just now."""
        with suppress(sqlite3.Error, LibraryError):
            self.connection.execute("PRAGMA busy_timeout = 0")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with suppress(LibraryError):
            self.connection.close()
        self.connection = cast(sqlite3.Connection, _Closed(self.path))

    @contextmanager
    def atomic(self) -> Iterator[int]:
        """One transaction, all or nothing; gives the revision that it makes. Raises `LibraryFull`, `LibraryError`."""
        with in_our_words(self.path):
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

    def meta(self) -> dict[str, Any]:
        """What is recorded of the library itself."""
        return dict(self.connection.execute("SELECT key, value FROM meta"))

    def set_meta(self, **values: str | int) -> None:
        """Records facts of the library itself."""
        self.connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    @property
    def revision(self) -> int:
        """How many batches were committed; rises with every change."""
        return int(self.scalar("SELECT value FROM meta WHERE key = 'revision'") or 0)

    @property
    def version(self) -> int:
        """The steps of the schema's history that were taken, of `migrations.STEPS`."""
        return migrations.version(self.connection)

    def damages(self, most: int = 3) -> list[str]:
        """What SQLite finds amiss in the file, the first few; looks at every page."""
        return [row for (row,) in self.connection.execute(f"PRAGMA quick_check({most})") if row != "ok"]

    def register_functions(self, functions: Mapping[str, tuple[int, Callable[..., Any]]]) -> None:
        """Makes functions known to SQL by name, each with the number of its arguments."""
        for name, (arguments, function) in functions.items():
            self.connection.create_function(name, arguments, function, deterministic=True)

    def scalar(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first value of the first row of a query; None if it has none."""
        row = self.connection.execute(sql, parameters).fetchone()
        return row[0] if row else None


class _Closed:
    """Stands where a connection was: whatever is asked of it, it says that the library is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getattr__(self, name: str) -> NoReturn:
        raise LibraryError(f"The library {self._path.parent} was closed: open it again.")


def connect(path: Path, *, readonly: bool) -> sqlite3.Connection:
    """A connection to the catalog's file; raises `LibraryTooNew`, `LibraryDamaged` or `LibraryError`.

    A read-only one may be used from several threads, one at a time.
    """
    with in_our_words(path):
        connection = _open_readonly(path) if readonly else sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)
        try:
            found = migrations.version(connection)
            if found > len(migrations.STEPS):
                raise LibraryTooNew(
                    f"The library {path.parent} was written by a newer Descry (catalog version {found}, "
                    f"this one knows {len(migrations.STEPS)}): update Descry."
                )
            if not readonly:
                _make_ready(connection)
            elif 0 < found < len(migrations.STEPS):
                _bring_up_to_date(path)
                if migrations.version(connection) < migrations.NEEDED:
                    raise LibraryError(
                        f"The library {path.parent} was written by an older Descry and cannot be brought up to date "
                        "here: open it once where it can be written."
                    )
        except BaseException:
            connection.close()
            raise
    return connection


def _bring_up_to_date(path: Path) -> None:
    """Takes the steps that an old catalog lacks, for readers that ask for what is new; where it may not, it goes on."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)) as writer:
        _make_ready(writer)


def _make_ready(connection: sqlite3.Connection) -> None:
    """Prepares a connection for writing, and the catalog if it is new or old."""
    connection.execute(f"PRAGMA page_size = {PAGE}")  # of a catalog that is there, it stays as it is
    connection.execute(f"PRAGMA cache_size = -{WRITER_KEEPS}")
    _keep_a_log(connection)
    # in WAL mode NORMAL cannot corrupt; a power cut may cost the last batches, a kill costs none
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    migrations.migrate(connection)


def _keep_a_log(connection: sqlite3.Connection) -> None:
    """Switches to the write-ahead log; the one thing for which SQLite does not wait until others are through."""
    last = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > last:
                raise
            time.sleep(0.01)


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
    # Not mapped into memory: 200 vectors of a million that lie on the disk alone are read in 0.03 to 0.09 s; by a map,
    # whose faults read around themselves, in 0.6 to 0.8 s. Where all is in memory it takes 0.7 and 1.0 ms.
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=PATIENCE, check_same_thread=False)


@contextmanager
def in_our_words(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into `LibraryFull`, `LibraryDamaged` or `LibraryError`, each with the remedy."""
    try:
        yield
    except sqlite3.OperationalError as error:
        # SQLite says "full" where the disk is, and "I/O error" where its log could not grow
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            raise LibraryFull(path.parent, error) from error
        raise LibraryError(
            f"The library {path.parent} cannot be used ({error}): see who may read and write there, and who has it "
            "open."
        ) from error
    except sqlite3.DatabaseError as error:
        raise LibraryDamaged(
            f"The catalog {path} cannot be read ({error}): move {path.parent} away and index again."
        ) from error

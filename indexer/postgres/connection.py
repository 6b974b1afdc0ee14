"""A connection to PostgreSQL that is asked like SQLite's: the same statements in its dialect, its errors in our words.

So the catalog's statements, the filters among them, stand once. `RULES` are all that differs between the two.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, cast

import numpy as np
import psycopg
from psycopg import errors
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Format, TransactionStatus
from psycopg.types import TypeInfo

from indexer.errors import LibraryError
from indexer.items import Float32Array
from indexer.storage.listing import WRITTEN

# What an address may look like; a special sign in a name or password has to be percent-encoded, or the rest of a
# password would be taken for a host, and be told.
ADDRESS = re.compile(r"postgres(?:ql)?://(?:[^:@/?#]*(?::[^:@/?#]*)?@)?[^@/?#]*(?:/[^@/?#]*)?(?:\?[^#]*)?")

# Seconds to wait for the server to answer, unless the address or the environment says another.
PATIENCE = "10"

# Runs of a statement before psycopg has it planned once and for all, unless it is run for many rows.
NEVER = 1 << 60

# SQLite's dialect and PostgreSQL's; facts are columns, see `indexer.postgres.schema`.
RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (re.escape(WRITTEN), "files.written"),
        (r"CAST\(strftime\('%s', json_extract\(facts, '\$\.(\w+)'\)\) AS INTEGER\)", r"second_of(items.\1)"),
        ("%", "%%"),
        (r"json_extract\((?:items\.)?facts, '\$\.(\w+)'\)", r"items.\1"),
        (r"SELECT value FROM json_each\(\?\)", "SELECT unnest(?::bigint[])"),
        (r"group_concat\(([\w.]+)\)", r"string_agg(\1::text, ',')"),
        (r"instr\(", "strpos("),
        (r"([\w.]+) COLLATE NOCASE", r"lower(\1)"),
        (r"\btag = \?", 'lower(tag) = lower(?::text COLLATE "C")'),
        (r"\bLIKE\b", "ILIKE"),  # SQLite's disregards the case; so do columns that are collated by "C", for ASCII
        (r"\bGLOB \?", "~ ?"),
        (r"^(INSERT INTO (?:files|folders) .*)$", r"\1 RETURNING id"),  # what `lastrowid` tells
        (r"\?", "%s"),
    )
)


def shown(address: str) -> str:
    """An address without its password.

    >>> shown("postgresql://ann:secret@photos.example/library?sslmode=require&password=secret")
    'postgresql://ann@photos.example/library?sslmode=require&password=...'
    """
    if not ADDRESS.fullmatch(address):
        return f"{address.partition('://')[0]}://..."
    without = re.sub(r"://([^:@/?#]*):[^@/?#]*@", r"://\1@", address)
    return re.sub(r"(password=)[^&]*", r"\1...", without)


@lru_cache(maxsize=256)
def translated(sql: str) -> tuple[str, Mapping[int, Callable[[str], str]]]:
    """A statement in PostgreSQL's dialect, and what makes the values of parameters that differ, by their places."""
    before = enumerate(re.findall(r"(GLOB |json_each\()?\?", sql))
    changed = {place: glob_as_regex if kind == "GLOB " else _array_of_json for place, kind in before if kind}
    for pattern, replacement in RULES:
        sql = pattern.sub(replacement, sql)
    return sql, changed


def glob_as_regex(pattern: str) -> str:
    r"""A pattern of SQLite's GLOB as a regular expression of PostgreSQL.

    >>> glob_as_regex("*/IMG[0-9?]_?.jpg")
    '^.*\\/IMG[0-9?]_.\\.jpg$'
    """
    pieces = re.findall(r"\[\^?\]?[^\]]*\]|.", pattern, re.DOTALL)
    return f"^{''.join(map(_piece_as_regex, pieces))}$"


def _piece_as_regex(piece: str) -> str:
    if len(piece) > 1:
        return "[" + re.sub(r"[\\\[\]]", r"\\\g<0>", piece[1:-1]) + "]"
    return {"*": ".*", "?": ".", "[": "(?!)"}.get(piece) or re.sub(r"\W", r"\\\g<0>", piece, flags=re.ASCII)


class HalfVector:
    """A vector `[dim]` on its way to a column of pgvector's type `halfvec`."""

    def __init__(self, numbers: Float32Array) -> None:
        self.numbers = numbers


class _HalfVectorDumper(Dumper):
    """pgvector's binary form: how many numbers, two bytes of nothing, and the numbers as float16."""

    format = Format.BINARY

    def dump(self, obj: HalfVector) -> bytes:
        return len(obj.numbers).to_bytes(2, "big") + bytes(2) + obj.numbers.astype(">f2").tobytes()


def half_vectors(told: Sequence[bytes], dimension: int) -> Float32Array:
    """Vectors `[n, dim]` of pgvector's binary form."""
    numbers = np.frombuffer(b"".join(told), ">f2").reshape(len(told), 2 + dimension)
    return numbers[:, 2:].astype(np.float32)


def as_array(ids: Iterable[int]) -> str:
    """Ids as PostgreSQL reads an array of them, in less time than psycopg takes for a list."""
    return "{" + ",".join(map(str, ids)) + "}"


def _array_of_json(told: str) -> str:
    return "{" + told[1:-1] + "}"


class Cursor(psycopg.Cursor[Any]):
    """The rows of an answer, and the id of the row that was inserted, as of SQLite's."""

    lastrowid: int | None = None


class Connection:
    """Asks one server. Several threads may use it, one at a time; whoever asks outside a transaction gets his own."""

    def __init__(self, address: str, *, readonly: bool) -> None:
        """Raises `LibraryError` for a server that does not answer or lets nobody in."""
        self.shown = shown(address)
        if not ADDRESS.fullmatch(address):
            raise LibraryError(
                f"The address {self.shown} cannot be read: it is postgresql://USER@HOST:PORT/DATABASE, "
                "with special signs percent-encoded."
            )
        with self._in_our_words():
            try:
                parameters = conninfo_to_dict(address)
            except psycopg.ProgrammingError:  # which tells parts of the address
                raise LibraryError(f"The address {self.shown} holds an option that PostgreSQL does not know.") from None
            defaults: dict[str, Any] = {"application_name": "descry", "tcp_user_timeout": "30000"}
            if "PGCONNECT_TIMEOUT" not in os.environ:
                defaults["connect_timeout"] = PATIENCE
            # a question is planned for its own parameters, as a plan for any would use no partial index; what is run
            # for many rows is planned once
            own = {"autocommit": True, "prepare_threshold": NEVER, "cursor_factory": Cursor}
            self.raw: Any = psycopg.connect(**(defaults | parameters | own))
            self.raw.execute("SET search_path = descry, public")
            self.raw.execute("SET jit = off")  # compiling takes longer than most questions
            if readonly:
                self.raw.execute("SET default_transaction_read_only = on")

    def knows_vectors(self) -> bool:
        """Whether the database has pgvector; from then on vectors may be given as `HalfVector`."""
        with self._in_our_words():
            info = TypeInfo.fetch(self.raw, "halfvec")
        if info is not None:
            info.register(self.raw)
            self.raw.adapters.register_dumper(HalfVector, type("_Dumper", (_HalfVectorDumper,), {"oid": info.oid}))
        return info is not None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is under way."""
        return self.raw.info.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)

    def execute(self, sql: str, parameters: Sequence[Any] = (), *, binary: bool = False) -> Cursor:
        """Runs one of the catalog's statements."""
        told, changed = translated(sql)
        with self._in_our_words():
            cursor = self.raw.cursor()
            cursor.execute(told, _values(parameters, changed), binary=binary)
            if told.endswith("RETURNING id"):
                (cursor.lastrowid,) = cursor.fetchone()
        return cast(Cursor, cursor)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> Cursor:
        """Runs one of the catalog's statements for each row of parameters."""
        told, changed = translated(sql)
        with self._in_our_words():
            cursor = self.raw.cursor()
            cursor.executemany(told, [_values(row, changed) for row in parameters])
        return cast(Cursor, cursor)

    def cursor(self) -> _Lazy:
        """A cursor that executes later, as SQLite's."""
        return _Lazy(self)

    def native(self, sql: str, parameters: Sequence[Any] = (), *, binary: bool = False) -> Cursor:
        """Runs a statement that is PostgreSQL's own."""
        with self._in_our_words():
            cursor = self.raw.cursor()
            cursor.execute(sql, parameters or None, binary=binary)
        return cast(Cursor, cursor)

    def copy(self, columns: str, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Writes rows to a table's columns, which are of those types, the quickest way there is."""
        statement = f"COPY {columns} FROM STDIN (FORMAT BINARY)"
        with self._in_our_words(), self.raw.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    @contextmanager
    def alone(self, number: int, *, wait: bool) -> Iterator[bool]:
        """Whether nobody else is inside with that number, which may be waited for: PostgreSQL's advisory locks."""
        if wait:
            self.native("SELECT pg_advisory_lock(%s)", (number,))
        ((is_alone,),) = [(True,)] if wait else self.native("SELECT pg_try_advisory_lock(%s)", (number,)).fetchall()
        try:
            yield is_alone
        finally:
            if is_alone:
                self.native("SELECT pg_advisory_unlock(%s)", (number,))

    def close(self) -> None:
        """Closes it."""
        with suppress(psycopg.Error):
            self.raw.close()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        """Turns the server's errors into `LibraryError`, each a line without a password."""
        try:
            yield
        except errors.InsufficientPrivilege as error:
            raise LibraryError(
                f"The library {self.shown} refuses ({_told(error)}): see docs/scale.md for rights."
            ) from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise LibraryError(
                f"The library {self.shown} does not answer ({_told(error)}): see that it runs, and whom it lets in."
            ) from error
        except psycopg.Error as error:
            raise LibraryError(f"The library {self.shown} cannot be used ({_told(error)}).") from error


class _Lazy:
    """A cursor before it has been given a statement."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cursor: Cursor | None = None

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        self._cursor = self._connection.execute(sql, parameters)
        return self._cursor

    def fetchmany(self, size: int) -> list[Any]:
        return self._cursor.fetchmany(size) if self._cursor is not None else []

    def close(self) -> None:
        if self._cursor is not None:
            self._cursor.close()


def _values(parameters: Sequence[Any], changed: Mapping[int, Callable[[str], str]]) -> list[Any]:
    """Parameters as PostgreSQL takes them, which has no zero byte in texts."""
    values = [value.replace("\0", "") if isinstance(value, str) else value for value in parameters]
    for place, change in changed.items():
        values[place] = change(values[place])
    return values


def _told(error: psycopg.Error) -> str:
    """The first line of what the server says."""
    return (error.diag.message_primary or str(error).strip() or type(error).__name__).splitlines()[0]

"""Small pictures of a library's photos in a table beside it, for servers that see no photo themselves."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

from indexer.errors import LibraryError
from indexer.postgres.connection import Connection
from indexer.thumbnails import Thumbnails

# Pictures that are kept, the newest: 60 GB of small ones of 30 kB.
AT_MOST = 2_000_000

# Pictures that come before those too many are looked for again.
A_WHILE = 100


class PostgresThumbnails(Thumbnails):
    """The thumbnails of one library on a server; what it refuses or cannot be asked is drawn anew."""

    def __init__(self, address: str, *, at_most: int = AT_MOST) -> None:
        self._lock = Lock()
        self._address, self._at_most = address, at_most
        self._server: Connection | None = None

    def _asked(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of an answer, none where there is no answer; a connection that broke is made anew once."""
        with self._lock:
            for _ in range(2):
                try:
                    self._server = self._server or Connection(self._address, readonly=False)
                    return self._server.native(sql, values).fetchall()
                except LibraryError:
                    if self._server is None or not self._server.raw.closed:
                        break
                    self._server = None
        return []

    def get(self, content: bytes, size: str) -> bytes | None:
        """The thumbnail of a content in one of `SIDES`; None where none is kept."""
        rows = self._asked("SELECT picture FROM thumbnails WHERE content = %s AND size = %s", (content, size))
        return bytes(rows[0][0]) if rows else None

    def put(self, content: bytes, size: str, picture: bytes) -> None:
        """Keeps a thumbnail; whoever may not write does not."""
        rows = self._asked(
            "INSERT INTO thumbnails (content, size, picture) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING "
            "RETURNING number",
            (content, size, picture),
        )
        if rows and rows[0][0] % min(A_WHILE, self._at_most) == 0:
            self._asked("DELETE FROM thumbnails WHERE number <= %s RETURNING 1", (rows[0][0] - self._at_most,))

    def held(self) -> tuple[int, int]:
        """How many thumbnails there are, and their bytes."""
        rows = self._asked("SELECT count(*), pg_total_relation_size('thumbnails') FROM thumbnails")
        count, size = rows[0] if rows else (0, 0)
        return int(count), int(size) if count else 0

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            if self._server is not None:
                self._server.close()
                self._server = None

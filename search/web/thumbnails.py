"""Small pictures for the page: upright WebP, made when first asked for, kept in one SQLite file of the library.

A thumbnail belongs to a content, by its fingerprint: a moved or renamed photo keeps its own. The file is a cache: it is
bounded, what cannot be read of it is made anew, and where the library cannot be written it is in memory.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Lock

from PIL import Image

from indexer.photos.opening import source_errors
from indexer.photos.pixels import upright_rgb

NAME = "thumbnails.sqlite3"

# Pixels of the longer side: of a tile of the grid, which is 200 high, on a dense screen; of the viewer, for photos
# that browsers cannot show or that are much larger than a screen.
SIDES = {"small": 480, "large": 1600}

# A small one takes 14.5 kB, of Flickr8k's photos, which are smaller themselves, 8; and 13 ms of a core for a photo of
# 900 pixels, 25 for one of 12 megapixels.
QUALITY = 75

# Pillow's effort, 0 to 6.
EFFORT = 2

# Bytes kept at most: 70,000 photos' small ones.
AT_MOST = 1_000_000_000
AT_MOST_IN_MEMORY = 100_000_000

# When there are too many, this share of them goes, the oldest first.
GIVEN_UP = 0.1

SCHEMA = """
CREATE TABLE IF NOT EXISTS thumbnails (
    number INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    size TEXT NOT NULL,
    picture BLOB NOT NULL,
    UNIQUE (fingerprint, size)
)
"""


def draw(picture: Image.Image, side: int) -> bytes:
    """The picture as WebP whose longer side has `side` pixels at most, without its EXIF block. Raises `SourceError`."""
    pixels = upright_rgb(picture, side=side // 2)  # decoded at no less than twice that: nearly always enough
    with source_errors():
        pixels.thumbnail((side, side))
        drawn = BytesIO()
        pixels.save(drawn, "WEBP", quality=QUALITY, method=EFFORT, exif=b"")
    return drawn.getvalue()


class Thumbnails:
    """The thumbnails of one library. May be used from several threads."""

    def __init__(self, library: Path, *, at_most: int = AT_MOST) -> None:
        self._lock = Lock()
        self._at_most = at_most
        self._connection, self.count, self.bytes = self._opened(library / NAME)

    def _opened(self, path: Path) -> tuple[sqlite3.Connection, int, int]:
        for _ in range(2):
            try:
                return _connect(path)
            except sqlite3.OperationalError:  # no room, or no right to write
                break
            except sqlite3.DatabaseError:  # damaged
                with suppress(OSError):
                    path.unlink()
        self._at_most = min(self._at_most, AT_MOST_IN_MEMORY)
        return _connect(Path(":memory:"))

    def get(self, fingerprint: bytes, size: str) -> bytes | None:
        """The thumbnail of a content in one of `SIDES`; None where none is kept."""
        with self._lock, suppress(sqlite3.Error):
            row = self._connection.execute(
                "SELECT picture FROM thumbnails WHERE fingerprint = ? AND size = ?", (fingerprint, size)
            ).fetchone()
            return bytes(row[0]) if row else None
        return None

    def put(self, fingerprint: bytes, size: str, picture: bytes) -> None:
        """Keeps a thumbnail; where there is no room, it does not."""
        with self._lock, suppress(sqlite3.Error):
            kept = self._connection.execute(
                "INSERT OR IGNORE INTO thumbnails (fingerprint, size, picture) VALUES (?, ?, ?)",
                (fingerprint, size, picture),
            ).rowcount
            self.count += kept
            self.bytes += len(picture) * kept
            if self.bytes > self._at_most:
                self._give_up()

    def _give_up(self) -> None:
        oldest = "SELECT number FROM thumbnails ORDER BY number LIMIT ?"
        count = max(1, int(self.count * GIVEN_UP))
        gone = self._connection.execute(
            f"DELETE FROM thumbnails WHERE number IN ({oldest}) RETURNING length(picture)", (count,)
        ).fetchall()
        self.count -= len(gone)
        self.bytes -= sum(length for (length,) in gone)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()


def _connect(path: Path) -> tuple[sqlite3.Connection, int, int]:
    """The file at `path`, made if there is none, with the number of its thumbnails and of their bytes."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # what a power cut spoils is made anew
        connection.execute(SCHEMA)
        held = connection.execute("SELECT count(*), coalesce(sum(length(picture)), 0) FROM thumbnails").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection, *held

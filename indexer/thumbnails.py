"""Thumbnails of a library's photos: upright JPEGs in one SQLite file, made while indexing or when first asked for.

A thumbnail belongs to a content, by its fingerprint: a moved or renamed photo keeps its own. The file is a cache: it is
bounded, what cannot be read of it is made anew, and where the library cannot be written it is in memory.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock

import numpy as np
import simplejpeg
from PIL import Image

from indexer.errors import SourceError
from indexer.photos.colours import srgb_pixels
from indexer.photos.opening import source_errors
from indexer.photos.pixels import DECODED, orientation, upright, upright_rgb

NAME = "thumbnails.sqlite3"

# Pixels of the longer side: of a tile of the grid, which is 210 high, on a dense screen; of the viewer, for photos
# that browsers cannot show or that are much larger than a screen.
SIDES = {"small": 480, "large": 1600}

# JPEG: at the same faithfulness (37.5 dB, the demo's photos) 30 kB and .6 ms of a core, WebP 22 kB and 6.2 ms.
# At 70 skies begin to show steps.
QUALITY = 75

# What is larger by less than this is left as it is: means of 2 x 2 of 1000 x 750 pixels take .7 ms, of 640 x 480 an
# exact 480 x 360 takes 2.5, and to compress them .5 and .9.
LARGER = 1.35

# Bytes that the file may have: small ones take 10 to 50 kB, as photos are, so that 100,000 photos have theirs.
AT_MOST = 4_000_000_000
AT_MOST_IN_MEMORY = 100_000_000

# When there are too many, this share of them goes, the oldest first.
GIVEN_UP = 0.1

# Of the file; another one's thumbnails are made anew.
VERSION = 2

SCHEMA = """
CREATE TABLE IF NOT EXISTS thumbnails (
    number INTEGER PRIMARY KEY,
    content BLOB NOT NULL,
    size TEXT NOT NULL,
    picture BLOB NOT NULL,
    UNIQUE (content, size)
)
"""


def draw(image: Image.Image, side: int) -> bytes:
    """The image as a JPEG whose longer side has some `side` pixels at most, without its EXIF block.

    What an encoder decoded of it before is taken instead of decoding once more. Raises `SourceError`.
    """
    with source_errors():
        decoded = image.info.pop(DECODED, None)
        if decoded is not None and max(decoded.shape) >= min(side, max(image.size)):
            small = upright(np.asarray(_smaller(Image.fromarray(decoded), side)), orientation(image))
        else:  # decoded at no less than `side`
            small = np.asarray(_smaller(upright_rgb(image, side=side // 2, convert=False), side))
        drawn: bytes = simplejpeg.encode_jpeg(
            np.ascontiguousarray(srgb_pixels(small, image)), quality=QUALITY, colorsubsampling="420"
        )
    return drawn


def _smaller(pixels: Image.Image, side: int) -> Image.Image:
    """RGB pixels whose longer side is `side`, or a little more, up to `LARGER` times."""
    pixels = pixels.reduce(max(1, max(pixels.size) // side))
    if max(pixels.size) > LARGER * side:
        pixels.thumbnail((side, side), Image.Resampling.BILINEAR)
    return pixels.convert("RGB")


class Thumbnails:
    """The thumbnails of one library. May be used from several threads."""

    def __init__(self, library: Path, *, at_most: int = AT_MOST) -> None:
        self._lock = Lock()
        self._at_most = at_most
        self._connection = self._opened(library / NAME)

    def _opened(self, path: Path) -> sqlite3.Connection:
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

    def get(self, content: bytes, size: str) -> bytes | None:
        """The thumbnail of a content in one of `SIDES`; None where none is kept."""
        with self._lock, suppress(sqlite3.Error):
            row = self._connection.execute(
                "SELECT picture FROM thumbnails WHERE content = ? AND size = ?", (content, size)
            ).fetchone()
            return bytes(row[0]) if row else None
        return None

    def put(self, content: bytes, size: str, image: bytes) -> None:
        """Keeps a thumbnail; where there is no room, it does not."""
        with self._lock, suppress(sqlite3.Error):
            self._connection.execute(
                "INSERT OR IGNORE INTO thumbnails (content, size, picture) VALUES (?, ?, ?)", (content, size, image)
            )
            if _bytes(self._connection) > self._at_most:
                self._connection.execute(
                    "DELETE FROM thumbnails WHERE number IN (SELECT number FROM thumbnails ORDER BY number LIMIT "
                    f"(SELECT 1 + count(*) * {GIVEN_UP} FROM thumbnails))"
                )

    def draw(self, content: bytes, image: Image.Image) -> None:
        """Keeps the small thumbnail of an image that was read, unless it cannot be drawn."""
        with suppress(SourceError):
            self.put(content, "small", draw(image, SIDES["small"]))

    def held(self) -> tuple[int, int]:
        """How many thumbnails there are, and their bytes."""
        with self._lock, suppress(sqlite3.Error):
            (count,) = self._connection.execute("SELECT count(*) FROM thumbnails").fetchone()
            return count, _bytes(self._connection) if count else 0
        return 0, 0

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # what a power cut spoils is made anew
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            connection.executescript(f"DROP TABLE IF EXISTS thumbnails; {SCHEMA}; PRAGMA user_version = {VERSION};")
    except BaseException:
        connection.close()
        raise
    return connection


def held(library: Path) -> tuple[int, int]:
    """How many thumbnails a library keeps, and their bytes."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{(library / NAME).as_uri()}?mode=ro", uri=True)) as file:
        (count,) = file.execute("SELECT count(*) FROM thumbnails").fetchone()
        return count, _bytes(file) if count else 0
    return 0, 0


def _bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that are in use."""
    size, pages, free = (
        connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_size", "page_count", "freelist_count")
    )
    return int(size * (pages - free))

"""Tiny photos of one colour each, and an encoder of colours that counts what it is asked to do."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from indexer import Encoder, Library
from indexer.testing import PictureColors, WordColors


def paint(path: Path, color: str | tuple[int, int, int] = "red") -> Path:
    """A photo of 8 x 8 pixels of one colour, in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), color).save(path)
    return path


def shade(number: int) -> tuple[int, int, int]:
    """A colour of its own for each number below 16 million."""
    return number % 256, number // 256 % 256, number // 65536


def paint_many(folder: Path, count: int, *, start: int = 0) -> list[Path]:
    """Photos of different colours, as bitmaps: nothing is written faster."""
    return [paint(folder / f"{number:05}.bmp", shade(number)) for number in range(start, start + count)]


def later(path: Path, seconds: float = 1) -> None:
    """Moves the time of the file's last change: two writes of a test may fall into one tick of the clock."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + int(seconds * 1e9)))


@dataclass
class Watched:
    """A tower that counts the values it prepares and the rows it embeds; `before` sees each value first."""

    tower: Any
    counts: Counter[str] = field(default_factory=Counter)
    before: Callable[[Any], object] = id

    def fits(self, value: Any) -> bool:
        return bool(self.tower.fits(value))

    def prepare(self, value: Any) -> Any:
        self.counts["prepared"] += 1
        self.before(value)
        return self.tower.prepare(value)

    def embed(self, prepared: Sequence[Any]) -> Any:
        self.counts["embedded"] += len(prepared)
        return self.tower.embed(prepared)


@dataclass
class WatchedEncoder:
    """The encoder of colours with both its towers watched."""

    image: Watched = field(default_factory=lambda: Watched(PictureColors()))
    text: Watched = field(default_factory=lambda: Watched(WordColors()))

    @property
    def encoder(self) -> Encoder:
        return Encoder("colors", 4, "0", {"image": lambda: self.image, "text": lambda: self.text})

    def taken(self) -> int:
        """How many values were prepared since this was last asked."""
        count = self.image.counts["prepared"] + self.text.counts["prepared"]
        self.image.counts.clear()
        self.text.counts.clear()
        return count


def held(library: Library, modality: str = "image") -> dict[Path, int]:
    """The library's files of one modality, each with the id of its first item."""
    rows = library.catalog.connection.execute(
        "SELECT folders.path, name, min(items.id) FROM items JOIN files ON files.id = file_id "
        "JOIN folders ON folders.id = folder_id WHERE items.modality = ? GROUP BY files.id",
        (modality,),
    )
    return {Path(folder, name): id for folder, name, id in rows}


def names(library: Library, modality: str = "image") -> set[str]:
    """The names of the library's files of one modality."""
    return {path.name for path in held(library, modality)}

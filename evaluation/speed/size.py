"""Bytes a photo on disk, by part: SQLite's tables and indexes one by one, the vectors, and the saved indexes of them.

What a library has once, whatever its size, such as a stored text tower, is not counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from evaluation.speed.figures import Aim, Figure
from evaluation.speed.setting import DIMENSION, Setting, short
from evaluation.synthetic import named_only
from indexer.library import CATALOG

SMALL = Aim(most=1300)

# Parts below this share of the whole are told together.
WORTH_TELLING = 0.01


def measure(setting: Setting) -> Iterator[Figure]:
    """The whole, then its parts, the largest first."""
    encoder = named_only(DIMENSION)
    for size in setting.sizes:
        parts = parts_of(setting.library(encoder, size))
        total = sum(parts.values())
        yield Figure(f"{short(size)} x {DIMENSION}", total / size, "bytes a photo", aim=SMALL)
        told = {name: held for name, held in parts.items() if held > WORTH_TELLING * total}
        told["all else"] = total - sum(told.values())
        for name, held in sorted(told.items(), key=lambda part: -part[1]):
            yield Figure(f"{short(size)} x {DIMENSION}, {name}", held / size, "bytes a photo")


def parts_of(library: Path) -> dict[str, int]:
    """Bytes of the catalog by table and index, of the vectors, and of every saved index."""
    parts = {path.name: path.stat().st_size for kind in ("*.vectors", "*.faiss") for path in library.glob(kind)}
    return {**parts, **_tables(library / CATALOG)}


def _tables(catalog: Path) -> dict[str, int]:
    """By SQLite's own statistics, where it was built with them; else the file as a whole."""
    with closing(sqlite3.connect(f"{catalog.absolute().as_uri()}?mode=ro", uri=True)) as db:
        try:
            rows = db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall()
        except sqlite3.OperationalError:
            return {catalog.name: catalog.stat().st_size}
        free = db.execute("PRAGMA freelist_count").fetchone()[0] * db.execute("PRAGMA page_size").fetchone()[0]
        return {f"{catalog.name}: {name}": held for name, held in [*rows, ("free pages", free)]}

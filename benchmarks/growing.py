"""What a library takes: bytes a photo on disk, by part, and what grows with it, with fitted exponents.

What a library has once, such as a stored text tower, is not counted. An exponent of 1 is growth in step with the number
of photos, 0 is none at all: of seconds, memory and bytes to make it, and a question's time.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.figures import Aim, Figure
from benchmarks.machine import best_seconds, one_core, taken
from benchmarks.searching import each, questions_of
from benchmarks.setting import DIMENSION, Setting, make_library, short
from benchmarks.synthetic import named_only, of_library
from indexer.library import CATALOG, Library

SMALL = Aim(most=1300)

# Parts below this share of the whole are told together.
WORTH_TELLING = 0.01


def size(setting: Setting) -> Iterator[Figure]:
    """The whole, then its parts, the largest first."""
    encoder = named_only(DIMENSION)
    for count in setting.sizes:
        parts = parts_of(setting.library(encoder, count))
        total = sum(parts.values())
        yield Figure(f"{short(count)} x {DIMENSION}", total / count, "bytes a photo", aim=SMALL)
        told = {name: held for name, held in parts.items() if held > WORTH_TELLING * total}
        told["all else"] = total - sum(told.values())
        for name, held in sorted(told.items(), key=lambda part: -part[1]):
            yield Figure(f"{short(count)} x {DIMENSION}, {name}", held / count, "bytes a photo")


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


# growth

# The shipped encoder's: ten millions of them fit on a disk.
GROWN_DIMENSION = 256

# Sizes from the smallest to the largest that is questions_of for, each about three times the one before.
STEP = 10**0.5

MEASURES = {"making": "processor seconds", "memory": "MB", "disk": "MB", "question": "ms"}

# Memory may not grow with the photos: what is sampled and read at once is bounded.
BOUNDED = Aim(most=0.5)

ROUNDS, ASKED = 3, 50


def growth(setting: Setting) -> Iterator[Figure]:
    """Each measure at each size, made by a process of its own, and the exponent of each."""
    grown: dict[str, dict[int, float]] = {name: {} for name in MEASURES}
    dimension = dimension_of(setting.like)
    for size in steps(min(setting.sizes), max(setting.sizes)):
        for name, value in _made(size, setting.like).items():
            grown[name][size] = value
            yield Figure(f"{name}, {short(size)} x {dimension}", value, MEASURES[name])
    for name, values in grown.items():
        if len(values) > 1:
            aim = BOUNDED if name == "memory" else None
            yield Figure(f"{name}, exponent", exponent(values), "", aim=aim)


def steps(least: int, most: int) -> Sequence[int]:
    """Sizes to one significant digit from the least to the most.

    >>> steps(10_000, 1_000_000)
    [10000, 30000, 100000, 300000, 1000000]
    """
    count = round(np.log(most / least) / np.log(STEP))
    between = [float(f"{least * STEP**number:.0e}") for number in range(1, count)]
    return sorted({least, *map(int, between), most})


def exponent(values: Mapping[int, float]) -> float:
    """The slope of the line through the logarithms, by least squares.

    >>> round(exponent({10: 3.0, 100: 30.0, 1000: 300.0}), 6)
    1.0
    """
    return float(np.polyfit(np.log(list(values)), np.log(list(values.values())), 1)[0])


def _made(size: int, like: Path | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library"
        beside = [str(like.absolute())] if like else []
        took = taken([sys.executable, "-m", "benchmarks.growing", str(path), str(size), *beside])
        held = sum(file.stat().st_size for file in path.iterdir())
        return {
            "making": took.cpu_seconds,
            "memory": took.megabytes,
            "disk": held / 1e6,
            "question": _milliseconds(path),
        }


def _milliseconds(path: Path) -> float:
    with Library.open(path) as library, one_core():
        questions, _ = questions_of(library)
        index = library.index("image")
        each(index, questions[:ASKED])
        return 1000 / ASKED * best_seconds({"": lambda: each(index, questions[:ASKED])}, ROUNDS)[""]


def dimension_of(like: Path | None) -> int:
    """The length of the vectors: those of the library, if one is named."""
    if like is None:
        return GROWN_DIMENSION
    with Library.open(like) as library:
        return library.dimension


def _make(path: str, size: str, like: str = "") -> None:
    """A library of that many photos; like those of another library, if one is named."""
    beside = Path(like) if like else None
    make_library(Path(path), named_only(dimension_of(beside)), int(size), of_library(beside) if beside else None)


if __name__ == "__main__":
    _make(*sys.argv[1:])

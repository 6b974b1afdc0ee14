"""What grows with a library: seconds, memory and bytes to make it, and a question's time, with fitted exponents.

An exponent of 1 is growth in step with the number of photos, 0 is none at all.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluation.speed.clock import best_seconds, one_core
from evaluation.speed.figures import Aim, Figure
from evaluation.speed.processes import taken
from evaluation.speed.searching import asked, each
from evaluation.speed.setting import Setting, make_library, short
from evaluation.synthetic import named_only, of_library
from indexer.library import Library

# The shipped encoder's: ten millions of them fit on a disk.
DIMENSION = 256

# Sizes from the smallest to the largest that is asked for, each about three times the one before.
STEP = 10**0.5

MEASURES = {"making": "processor seconds", "memory": "MB", "disk": "MB", "question": "ms"}

# Memory may not grow with the photos: what is sampled and read at once is bounded.
BOUNDED = Aim(most=0.5)

ROUNDS, ASKED = 3, 50


def measure(setting: Setting) -> Iterator[Figure]:
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
        took = taken([sys.executable, "-m", "evaluation.speed.growth", str(path), str(size), *beside])
        held = sum(file.stat().st_size for file in path.iterdir())
        return {
            "making": took.cpu_seconds,
            "memory": took.megabytes,
            "disk": held / 1e6,
            "question": _milliseconds(path),
        }


def _milliseconds(path: Path) -> float:
    with Library.open(path) as library, one_core():
        questions, _ = asked(library)
        index = library.index("image")
        each(index, questions[:ASKED])
        return 1000 / ASKED * best_seconds({"": lambda: each(index, questions[:ASKED])}, ROUNDS)[""]


def _make(place: Path, size: int, like: Path | None = None) -> None:
    """A library of that many photos; like those of another library, if one is named."""
    make_library(place, named_only(dimension_of(like)), size, of_library(like) if like else None)


def dimension_of(like: Path | None) -> int:
    """The length of the vectors: those of the library, if one is named."""
    if like is None:
        return DIMENSION
    with Library.open(like) as library:
        return library.dimension


if __name__ == "__main__":
    _make(Path(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:]))
    print(json.dumps(None))

"""How fast and how small Descry is here: a measurement is a file beside this one and a row in `MEASUREMENTS`.

A figure is told beside a limit or a peer that was measured in the same run, where there is one: that ratio carries
over to other machines, the milliseconds do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from evaluation.datasets import DataError
from evaluation.speed.encoders import speed
from evaluation.speed.figures import Figure, Run
from evaluation.speed.machine import machine
from evaluation.speed.setting import Setting

__all__ = ["MEASUREMENTS", "measure", "speed"]

# Name -> the module whose `measure(setting)` yields figures; `--sizes` are the photos of a library.
MEASUREMENTS = {
    "cold": "evaluation.speed.cold",
    "indexing": "evaluation.speed.indexing",
    "encoding": "evaluation.speed.encoding",
    "multiplying": "evaluation.speed.multiplying",
    "searching": "evaluation.speed.searching",
    "filtering": "evaluation.speed.filtering",
    "size": "evaluation.speed.size",
    "growth": "evaluation.speed.growth",
}


def measure(
    setting: Setting, names: Sequence[str] = (), *, tell: Callable[[str], None] = lambda _: None
) -> Iterator[Run]:
    """Runs the named measurements, all by default; after each figure comes what has been measured so far.

    `tell` hears each one's name before it begins. Raises `DataError` for a name that none has.
    """
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        raise DataError(f"No measurement is called {unknown[0]!r}: there are {', '.join(MEASUREMENTS)}.")
    here = machine()
    figures: dict[str, list[Figure]] = {}
    for name in names or MEASUREMENTS:
        tell(name)
        for figure in import_module(MEASUREMENTS[name]).measure(setting):
            figures.setdefault(name, []).append(figure)
            yield Run(here, figures)

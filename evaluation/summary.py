"""Several runs as one table: the mean of every figure and how far it moves from seed to seed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evaluation.datasets import DataError

Measures = dict[str, dict[str, float]]


def summary(files: Sequence[Path]) -> Measures:
    """Mean, sample standard deviation, least and greatest of each figure that all runs have.

    `files` hold what `python -m evaluation COMMAND --json` printed. Raises `DataError`.
    """
    if len(files) < 2:
        raise DataError("A summary needs two runs or more: summary one.json two.json ...")
    runs = [dict(_figures(_read(file))) for file in files]
    shared = [name for name in runs[0] if all(name in run for run in runs)]
    if not shared:
        raise DataError(f"{files[0]} and {files[1]} have no figure in common; compare runs of one command.")
    return {name: _spread([run[name] for run in runs]) for name in shared}


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: no result of `python -m evaluation ... --json` ({error}).") from error


def _figures(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in a result, however deep, by their path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _figures(inner, f"{name} {key}".strip())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, float(value)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "mean": statistics.fmean(values),
        "deviation": statistics.stdev(values),
        "least": min(values),
        "greatest": max(values),
    }

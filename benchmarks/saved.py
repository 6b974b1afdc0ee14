"""Results as files: written after every row, for the next may take an hour, and put together if of one machine.

`python -m benchmarks.saved FILE ... [--save FILE]` prints the runs in the files as one table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import benchmarks.photos
import benchmarks.vectors
from benchmarks.tables import table
from evaluation.datasets import DataError
from indexer.atomic import atomic_write, writing
from indexer.errors import DescryError

# What makes a machine the same one; its versions may differ, and each row tells those of its peer. Not the cores: a run
# may be kept to some of them.
MACHINE = ("processor", "gigabytes", "system")

# The tables' order of rows.
ORDER = (*benchmarks.photos.PEERS, *benchmarks.vectors.PEERS)

Run = Mapping[str, Any]


def write(file: Path, held: Run) -> None:
    """Writes a run, whole or not at all. Raises `PathError`."""
    with writing(file), atomic_write(file) as place:
        place.write_text(json.dumps(held, indent=1), encoding="utf-8")


def read(file: Path) -> Run:
    """A run that `write` wrote. Raises `DataError`."""
    try:
        held: Run = json.loads(file.read_text(encoding="utf-8"))
        held["machine"]["date"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: no run that `python -m benchmarks --save` wrote ({error}).") from error
    return held


def merged(runs: Sequence[Run]) -> Run:
    """Several runs as one: of each row the last one measured, under the last machine. Raises `DataError`.

    >>> early = {"machine": {"cores": 2, "date": "2026-01-01"}, "photos": {"rclip": {"reason": "no disk"}}}
    >>> late = {"machine": {"cores": 2, "date": "2026-01-02"}, "photos": {"rclip": {"about": "ONNX"}}}
    >>> merged([late, early])["photos"]
    {'rclip': {'about': 'ONNX'}}
    """
    ordered = sorted(runs, key=lambda run: str(run["machine"]["date"]))
    told = {tuple(run["machine"].get(name) for name in MACHINE) for run in ordered}
    if len(told) > 1:
        raise DataError(f"These runs are of {len(told)} machines, whose figures do not stand side by side: {told}.")
    parts = dict.fromkeys(part for run in ordered for part in run if part != "machine")
    return {"machine": ordered[-1]["machine"], **{part: _rows(ordered, part) for part in parts}}


def _rows(runs: Sequence[Run], part: str) -> dict[str, Any]:
    rows = {name: row for run in runs for name, row in run.get(part, {}).items()}
    return dict(sorted(rows.items(), key=lambda row: ORDER.index(row[0]) if row[0] in ORDER else -1))


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; 0 done, 2 the request was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saved", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what `python -m benchmarks --save` wrote")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write all of it there, as JSON")
    options = parser.parse_args(arguments)
    try:
        held = merged([read(file) for file in options.files])
        if options.save:
            write(options.save, held)
    except DescryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(table(held))
    return 0


if __name__ == "__main__":
    sys.exit(main())

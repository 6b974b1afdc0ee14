"""What was measured: a value, what it is compared with in the same run, and the aim that it is held to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluation.datasets import DataError


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should be: at most or at least so much, of the ratio where there is one, else of the value."""

    most: float | None = None
    least: float | None = None

    def reached(self, number: float) -> bool:
        """Whether the number is within."""
        return (self.most is None or number <= self.most) and (self.least is None or number >= self.least)

    def __str__(self) -> str:
        return f"<= {self.most:g}" if self.most is not None else f">= {self.least:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `beside` is what stands for the machine or a peer, measured in the same run, in `unit` too.

    >>> figure = Figure("a query", 30.0, "ms", beside=20.0, reference="imports alone", aim=Aim(most=1.6))
    >>> figure.ratio, figure.reached
    (1.5, True)
    """

    name: str
    value: float
    unit: str
    beside: float | None = None
    reference: str = ""
    aim: Aim | None = None

    @property
    def ratio(self) -> float | None:
        """Value to reference: what carries over to other machines."""
        return self.value / self.beside if self.beside else None

    @property
    def reached(self) -> bool | None:
        """Whether the aim is; None without an aim."""
        return self.aim.reached(self.value if self.ratio is None else self.ratio) if self.aim else None


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one run by measurement, with where and when they were taken."""

    machine: Mapping[str, Any]
    figures: Mapping[str, Sequence[Figure]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Figure]:
        return (figure for figures in self.figures.values() for figure in figures)

    def as_json(self) -> dict[str, Any]:
        """For a file; figures by their names, as `python -m evaluation summary` reads them."""
        return {
            "machine": dict(self.machine),
            "figures": {
                measurement: {figure.name: _as_json(figure) for figure in figures}
                for measurement, figures in self.figures.items()
            },
        }

    @classmethod
    def read(cls, file: Path) -> Run:
        """An earlier run. Raises `DataError`."""
        try:
            return cls.of(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{file}: no run that `python -m evaluation speed --save` wrote ({error}).") from error

    @classmethod
    def of(cls, held: Mapping[str, Any]) -> Run:
        """What `as_json` made. Raises `KeyError`, `TypeError` or `AttributeError` for anything else."""
        figures = {
            measurement: [_from_json(name, row) for name, row in rows.items()]
            for measurement, rows in held["figures"].items()
        }
        return cls(held["machine"], figures)


def _as_json(figure: Figure) -> dict[str, Any]:
    held = {name: value for name, value in asdict(figure).items() if name != "name" and value is not None}
    return held | ({"ratio": figure.ratio} if figure.ratio is not None else {})


def _from_json(name: str, row: Mapping[str, Any]) -> Figure:
    aim = Aim(**row["aim"]) if row.get("aim") else None
    return Figure(name, row["value"], row["unit"], row.get("beside"), row["reference"], aim)


def table(run: Run) -> str:
    """The figures for people, a line each, under the machine that they were taken on."""
    rows: list[tuple[str, ...]] = [("", "", "beside", "", "ratio", "aim", "")]
    for measurement, figures in run.figures.items():
        rows.append((measurement, *[""] * 6))
        rows += [_row(figure) for figure in figures]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([told(run.machine), "", *lines])


def _row(figure: Figure) -> tuple[str, ...]:
    ratio, reached = figure.ratio, figure.reached
    return (
        f"  {figure.name}",
        f"{shown(figure.value)} {figure.unit}",
        f"{shown(figure.beside)} {figure.unit}" if figure.beside is not None else "",
        figure.reference,
        f"{ratio:.3g}" if ratio is not None else "",
        str(figure.aim) if figure.aim else "",
        {True: "reached", False: "missed", None: ""}[reached],
    )


def shown(value: float) -> str:
    """Three significant digits, and all digits before the point.

    >>> shown(0.01234), shown(12.34), shown(12345.6)
    ('0.0123', '12.3', '12,346')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def told(machine: Mapping[str, Any]) -> str:
    """A machine and its versions as a line."""
    return ", ".join(
        f"{value}" if name in ("processor", "date") else f"{name} {value}" for name, value in machine.items()
    )

"""What was measured, as values for files and as tables for people: figures with their aims, and rows of peers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluation.datasets import DataError
from indexer.atomic import atomic_write, writing

# What makes a machine the same one; its versions may differ, and each row tells those of its peer. Not the cores: a run
# may be kept to some of them.
SAME_MACHINE = ("processor", "gigabytes", "system")


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


Row = Mapping[str, Any]  # what was measured of a peer, by name


@dataclass(frozen=True, slots=True)
class Run:
    """What one run has measured: figures by measurement, and rows of peers by part; where and when."""

    machine: Mapping[str, Any]
    figures: Mapping[str, Sequence[Figure]] = field(default_factory=dict)
    peers: Mapping[str, Mapping[str, Row]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Figure]:
        return (figure for figures in self.figures.values() for figure in figures)

    def as_json(self) -> dict[str, Any]:
        """For a file; figures by their names."""
        figures = {
            measurement: {figure.name: asdict(figure) | {"ratio": figure.ratio} for figure in figures}
            for measurement, figures in self.figures.items()
        }
        return {"machine": dict(self.machine), "figures": figures, "peers": self.peers}

    @classmethod
    def read(cls, file: Path) -> Run:
        """An earlier run. Raises `DataError`."""
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
            figures = {
                measurement: [_figure(name, row) for name, row in rows.items()]
                for measurement, rows in held["figures"].items()
            }
            return cls(held["machine"], figures, held.get("peers", {}))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{file}: no run that `python -m benchmarks --save` wrote ({error}).") from error

    def write(self, file: Path) -> None:
        """Writes the run, whole or not at all. Raises `PathError`."""
        with writing(file), atomic_write(file) as place:
            place.write_text(json.dumps(self.as_json(), indent=1), encoding="utf-8")

    def after(self, earlier: Run) -> Run:
        """This run put into an earlier one of the same machine, whose rows stay where none is newer.

        Raises `DataError` for one of another machine, whose figures do not stand side by side.
        """
        if any(self.machine.get(name) != earlier.machine.get(name) for name in SAME_MACHINE):
            raise DataError(f"An earlier run is of another machine: {told(earlier.machine)}.")
        figures = {**earlier.figures, **self.figures}
        parts = {part: {**earlier.peers.get(part, {}), **self.peers.get(part, {})} for part in self.peers}
        return Run(self.machine, figures, {**earlier.peers, **parts})


def _figure(name: str, row: Row) -> Figure:
    aim = Aim(**row["aim"]) if row.get("aim") else None
    return Figure(name, row["value"], row["unit"], row.get("beside"), row["reference"], aim)


# figures for people


def table(run: Run) -> str:
    """Everything for people, under the machine: a line a figure, and of peers a table in Markdown a part."""
    rows: list[tuple[str, ...]] = []
    for measurement, figures in run.figures.items():
        rows += [(measurement, *[""] * 6), *map(_line, figures)]
    parts = [told(run.machine)]
    if rows:
        parts.append(_columns([("", "", "beside", "", "ratio", "aim", ""), *rows]))
    for name, peers in run.peers.items():
        parts += [f"**{name}**", markdown(peers, PHOTOS if name == "photos" else VECTORS), notes(peers)]
    return "\n\n".join(parts)


def against(now: Run, then: Run) -> str:
    """Each figure that both runs have, and how many times as large it is now; on two machines only ratios compare."""
    rows: list[tuple[str, ...]] = [("", "now", "then", "now/then", "ratio now", "ratio then")]
    for measurement, figures in now.figures.items():
        before = {figure.name: figure for figure in then.figures.get(measurement, ())}
        rows += [
            (
                f"{measurement}: {figure.name}",
                f"{shown(figure.value)} {figure.unit}",
                f"{shown(old.value)} {old.unit}",
                f"{figure.value / old.value:.2f}" if old.value else "",
                *("" if ratio is None else f"{ratio:.3g}" for ratio in (figure.ratio, old.ratio)),
            )
            for figure in figures
            if (old := before.get(figure.name))
        ]
    return f"now:  {told(now.machine)}\nthen: {told(then.machine)}\n\n{_columns(rows)}"


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _line(figure: Figure) -> tuple[str, ...]:
    return (
        f"  {figure.name}",
        f"{shown(figure.value)} {figure.unit}",
        f"{shown(figure.beside)} {figure.unit}" if figure.beside is not None else "",
        figure.reference,
        f"{figure.ratio:.3g}" if figure.ratio is not None else "",
        str(figure.aim or ""),
        {True: "reached", False: "missed", None: ""}[figure.reached],
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


# peers for people, in Markdown, so that they can stand in a page as they are

Column = Callable[[Row], object]


def _field(name: str) -> Column:
    return lambda row: row.get(name, "")


# Head -> what stands below it.
VECTORS: dict[str, Column] = {
    "ms a query": _field("milliseconds"),
    "CPU ms": _field("cpu milliseconds"),
    "CPU, x numpy's scan": lambda row: row["cpu milliseconds"] / row["numpy scan cpu milliseconds"],
    "recall@10": _field("recall, questions aside"),
    "of near questions": _field("recall, questions near"),
    "bytes a vector": _field("bytes a vector"),
    "build, CPU s": _field("build cpu seconds"),
    "build, MB": _field("build megabytes"),
    "search, MB": _field("megabytes"),
    "add": _field("add"),
    "remove": _field("remove"),
    "set to": _field("chosen"),
}
PHOTOS: dict[str, Column] = {
    "CPU s a photo": _field("cpu seconds a photo"),
    "whole run, CPU s": _field("cpu seconds of the run"),
    "indexing, MB": _field("indexing megabytes"),
    "bytes a photo": _field("bytes a photo"),
    "cold query, s": _field("seconds a question"),
    "cold query, CPU s": _field("cpu seconds a question"),
    "query, MB": _field("question megabytes"),
}


def markdown(rows: Mapping[str, Row], columns: Mapping[str, Column]) -> str:
    """A row a peer; who could not be run has the reason in place of figures."""
    lines = [["", *columns], ["--"] * (1 + len(columns))]
    for name, row in rows.items():
        cells = [column(row) for column in columns.values()] if "reason" not in row else []
        lines.append([name, *(shown(cell) if isinstance(cell, float) else str(cell) for cell in cells)])
        if "reason" in row:
            lines[-1] += [f"not run: {row['reason']}", *[""] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def notes(rows: Mapping[str, Row]) -> str:
    """What each was set to, in which version, and when it was measured."""
    told = {
        name: (*(package.replace("==", " ") for package in row.get("packages", ())[:1]), row.get("about"), row["date"])
        for name, row in rows.items()
    }
    return "\n".join(f"- {name}: {'; '.join(filter(None, parts))}" for name, parts in told.items())

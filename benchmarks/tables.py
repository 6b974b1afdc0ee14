"""Results of all peers as tables, in Markdown, so that they can stand in a page as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from evaluation.speed.figures import shown, told

Result = Mapping[str, Any]
Column = Callable[[Result], object]


def _field(name: str) -> Column:
    return lambda result: result[name]


def _built(name: str) -> Column:
    return lambda result: result["built"][name]


def _question_ratio(result: Result) -> float:
    """Processor time, times that of numpy's scan of the same vectors in the same process."""
    return float(result["cpu milliseconds"] / result["numpy scan cpu milliseconds"])


# Head -> what stands below it.
VECTORS: dict[str, Column] = {
    "ms a query": _field("milliseconds"),
    "CPU ms": _field("cpu milliseconds"),
    "CPU, x numpy's scan": _question_ratio,
    "recall@10": _field("recall, questions aside"),
    "of near questions": _field("recall, questions near"),
    "bytes a vector": _built("bytes_a_vector"),
    "build, CPU s": _built("cpu_seconds"),
    "build, MB": _built("peak_megabytes"),
    "search, MB": _field("megabytes"),
    "add": _field("add"),
    "remove": _field("remove"),
    "set to": _field("chosen"),
}
PHOTOS: dict[str, Column] = {
    "CPU s a photo": lambda result: result.get("cpu seconds a photo", ""),
    "whole run, CPU s": lambda result: result.get("cpu seconds of the run", ""),
    "indexing, MB": lambda result: result.get("indexing megabytes", ""),
    "bytes a photo": lambda result: result.get("bytes a photo", ""),
    "cold query, s": _field("seconds a question"),
    "cold query, CPU s": _field("cpu seconds a question"),
    "query, MB": _field("question megabytes"),
}


def table(results: Mapping[str, Any]) -> str:
    """Everything that was run, a table a part, under the machine."""
    parts = [told(results["machine"])]
    for name, rows in results.items():
        if name != "machine":
            parts += [f"**{name}**", markdown(rows, PHOTOS if name == "photos" else VECTORS), notes(rows)]
    return "\n\n".join(part for part in parts if part)


def markdown(rows: Mapping[str, Result], columns: Mapping[str, Column]) -> str:
    """A row a peer; who could not be run has the reason in place of figures."""
    lines = [["", *columns], ["--"] * (1 + len(columns))]
    for name, result in rows.items():
        if "reason" in result:
            cells = [f"not run: {result['reason']}", *[""] * (len(columns) - 1)]
        else:
            cells = [_cell(column(result)) for column in columns.values()]
        lines.append([name, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def notes(rows: Mapping[str, Result]) -> str:
    """What each was set to, in which version, and when it was measured."""
    return "\n".join(f"- {name}: {note}" for name, result in rows.items() if (note := _note(result)))


def _note(result: Result) -> str:
    package = " ".join(result.get("packages", [""])[:1]).replace("==", " ")  # the others are what it needs
    return "; ".join(part for part in (package, result.get("about", ""), result.get("date", "")[:16]) if part)


def _cell(value: object) -> str:
    return shown(value) if isinstance(value, float) else str(value)

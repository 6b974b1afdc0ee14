"""How answers are written: hits and rows of plain data, one function a format, a row in `FORMATS` or `ROW_FORMATS`."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from indexer.items import Item
from search.hits import Hit
from search.terminal import is_terminal, linked, shortest, styled, visible

Rows = Sequence[dict[str, Any]]

# Of a long text, this much stands in a table.
TEXT_SHOWN = 100

# What a hit has only if somebody asked for it.
ASKED_FOR = ("probability", "alike", "penalty", "rank_score", "match")

# What a spreadsheet takes for a formula: https://owasp.org/www-community/attacks/CSV_Injection
FORMULAS = ("=", "+", "-", "@", "\t", "\r")

# What JSON may hold as it is, but terminals, scripts and strict readers of UTF-8 had better not.
_NOT_PLAIN = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


# hits


def record(rank: int, hit: Hit) -> dict[str, Any]:
    """A hit as plain data, as all machine-readable formats have it; `date` is what hits are sorted by."""
    item = hit.item
    asked_for = {name: getattr(hit, name) for name in ASKED_FOR if getattr(hit, name) is not None}
    return {
        "rank": rank,
        "score": None if hit.score is None else round(hit.score, 6),
        "modality": item.modality,
        "path": str(item.path),
        "part": item.part,
        "text": item.text,
        "id": item.id,
        "missing": hit.missing,
        "date": taken(item) or None,
        "facts": dict(item.facts),
        **({"unseen": hit.unseen} if hit.unseen and not hit.missing else {}),
        **{name: value if isinstance(value, int) else round(value, 6) for name, value in asked_for.items()},
    }


def records(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """The hits as plain data, numbered from 1."""
    return [record(rank, hit) for rank, hit in enumerate(hits, start=1)]


def taken(item: Item) -> str:
    """When the camera took a photo, else when its file was written; "" where neither is known."""
    return str(item.facts.get("taken") or item.facts.get("modified") or "")


def facts_of(item: Item) -> Iterator[str]:
    """What is known of a photo, for people: when it was taken, with what, where, and how large it is."""
    facts = item.facts
    if facts.get("taken"):
        yield _minute(facts["taken"])
    elif facts.get("modified"):
        yield f"file of {_minute(facts['modified'])}"
    if with_what := ", ".join(str(facts[name]) for name in ("camera", "lens") if facts.get(name)):
        yield with_what
    if {"latitude", "longitude"} <= facts.keys():
        yield f"{facts['latitude']:.4f}, {facts['longitude']:.4f}"
    if {"width", "height"} <= facts.keys():
        yield f"{facts['width']} \N{MULTIPLICATION SIGN} {facts['height']}"
    if facts.get("colour") in ("black-and-white", "sepia"):
        yield str(facts["colour"]).replace("-", " ")
    if facts.get("words"):
        said = " ".join(str(facts["words"]).split())
        yield f"says “{said if len(said) <= TEXT_SHOWN else said[: TEXT_SHOWN - 1] + '…'}”"
    if facts.get("duration"):
        yield f"{clock(facts['duration'])} long"


def clock(seconds: float) -> str:
    """Seconds as players show them.

    >>> clock(12.5), clock(3725)
    ('0:12', '1:02:05')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def second(item: Item) -> float | None:
    """The second of a recording at which an item begins, by its part; None for what is in none."""
    return float(item.part[1:]) if re.fullmatch(r"t\d+(\.\d+)?", item.part) else None


def _minute(moment: str) -> str:
    return str(moment)[:16].replace("T", " ")


def address_of(item: Item) -> str:
    """The address of an item's file, for browsers: of a shot, it begins to play there."""
    start = second(item)
    return item.path.absolute().as_uri() + ("" if start is None else f"#t={start:g}")


def table(hits: Sequence[Hit], *, long: bool = False) -> str:
    """For people: rank, score, date, the path or what the text says, and the id to go on with; if `long`, facts."""
    dated = any(taken(hit.item) and not hit.item.text for hit in hits)
    return "".join(_lines(rank, hit, dated=dated, long=long) for rank, hit in enumerate(hits, start=1))


def _lines(rank: int, hit: Hit, *, dated: bool, long: bool) -> str:
    item = hit.item
    columns = [f"{rank:>3}"]
    if hit.score is not None:
        columns.append(styled(f"{hit.score:.3f}", fg="green"))
    if dated:
        columns.append(styled(f"{taken(item)[:10]:<10}", fg="cyan"))
    columns.append(_what(hit))
    if hit.alike:
        columns.append(f"(+{hit.alike} alike)")
    if item.id is not None:
        columns.append(styled(f"id:{item.id}", dim=True))
    facts = _shown(", ".join(facts_of(item))) if long else ""
    return "  ".join(columns) + "\n" + (f"     {styled(facts, dim=True)}\n" if facts else "")


def _what(hit: Hit) -> str:
    """The place of a photo, or what a text says and where."""
    item = hit.item
    place = linked(_shown(shortest(item.path)), item.path)
    if mark := "missing" if hit.missing else hit.unseen:
        place += styled(f" ({mark})", fg="red")
    if (start := second(item)) is not None:
        place += f" at {clock(start)}"
    if not item.text:
        return place
    text = item.text if len(item.text) <= TEXT_SHOWN else item.text[: TEXT_SHOWN - 1] + "…"
    part = "" if second(item) is not None else f" {_shown(item.part)}"
    return f"{_shown(text)}  [{place}{part}]"


def _shown(text: str) -> str:
    """Text as it may go out: into a pipe whole, to a terminal without control characters."""
    return visible(text) if is_terminal() else text


def paths(hits: Sequence[Hit], end: str = "\n") -> str:
    """The paths, each once, for other programs."""
    return "".join(f"{path}{end}" for path in dict.fromkeys(hit.item.path for hit in hits))


FORMATS: dict[str, Callable[[Sequence[Hit]], str]] = {
    "table": table,
    "json": lambda hits: as_json(records(hits)),
    "jsonl": lambda hits: as_json_lines(records(hits)),
    "csv": lambda hits: as_csv([_flat(row) for row in records(hits)]),
    "paths": paths,
    "paths0": lambda hits: paths(hits, end="\0"),
}


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its facts in columns of their own, behind the others."""
    facts = {name if name not in row else f"fact_{name}": value for name, value in row["facts"].items()}
    return {name: value for name, value in row.items() if name != "facts"} | facts


# rows


def as_table(rows: Rows) -> str:
    """Columns for people, headed by the rows' keys if there is more than a name and a value."""
    if not rows:
        return "nothing to report\n"
    cells = [[_cell(value) for value in row.values()] for row in rows]
    if len(rows[0]) > 2:
        cells.insert(0, [str(key) for key in rows[0]])
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    padded = ([cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)] for line in cells)
    return "".join("  ".join(line).rstrip() + "\n" for line in padded)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return _shown(shortest(value) if isinstance(value, Path) else str(value))


def _width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata  # late: few tables need it

    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def as_json(rows: Rows) -> str:
    """One array of objects."""
    return json_text(rows, indent=2) + "\n"


def as_json_lines(rows: Rows) -> str:
    """One object a line."""
    return "".join(json_text(row) + "\n" for row in rows)


def json_text(value: object, *, indent: int | None = None) -> str:
    """JSON as text that any reader takes: control characters and bytes that are no text are escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return _NOT_PLAIN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def as_csv(rows: Rows) -> str:
    """A header and a line a row; no cell is a formula. The header alone for no rows that have one."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines: list[list[Any]] = [columns, *([row.get(name) for name in columns] for row in rows)] if columns else []
    return "".join(map(_csv_line, lines))


def _csv_line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(map(_defused, cells))  # with this end, both CR and LF are quoted
    return text.getvalue().removesuffix("\r\n") + "\n"


def _defused(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe in front."""
    return f"'{cell}" if isinstance(cell, str | Path) and str(cell).startswith(FORMULAS) else cell


ROW_FORMATS: dict[str, Callable[[Rows], str]] = {
    "table": as_table,
    "json": as_json,
    "jsonl": as_json_lines,
    "csv": as_csv,
}

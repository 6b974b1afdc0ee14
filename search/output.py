"""How hits are written: one function a format, one row in `FORMATS`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from indexer.items import Item
from search.hits import Hit

# Of a long text, this much stands in a table.
TEXT_SHOWN = 100

COLUMNS = ("rank", "score", "modality", "path", "part", "text", "id", "missing", "facts")

# What a hit has only if somebody asked for it.
ASKED_FOR = ("probability", "alike", "penalty", "rank_score")


def record(rank: int, hit: Hit) -> dict[str, Any]:
    """A hit as plain data, as all machine-readable formats have it."""
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
        "facts": dict(item.facts),
        **{name: value if isinstance(value, int) else round(value, 6) for name, value in asked_for.items()},
    }


def records(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """The hits as plain data, numbered from 1."""
    return [record(rank, hit) for rank, hit in enumerate(hits, start=1)]


def table(hits: Sequence[Hit]) -> str:
    """For people: rank, score, the path or what the text says, what is to be said of it, and the id to go on with."""
    return "".join(f"{rank:>3}  {_ranked_by(hit)}  {_shown(hit)}\n" for rank, hit in enumerate(hits, start=1))


def _ranked_by(hit: Hit) -> str:
    """The score, or the day of what was listed without a question."""
    return f"{(taken(hit.item) or '-')[:10]:<10}" if hit.score is None else f"{hit.score:.3f}"


def taken(item: Item) -> str:
    """When the camera took a photo, else when its file was written; "" where neither is known."""
    return str(item.facts.get("taken") or item.facts.get("modified") or "")


def _shown(hit: Hit) -> str:
    item = hit.item
    text = item.text if len(item.text) <= TEXT_SHOWN else item.text[: TEXT_SHOWN - 1] + "…"
    mark = " (missing)" if hit.missing else f" ({hit.unseen})" if hit.unseen else ""
    place = f"{item.path}{mark}"
    what = f"{text}  [{place} {item.part}]" if text else place
    alike = f"  (+{hit.alike} alike)" if hit.alike else ""
    return f"{what}{alike}{'' if item.id is None else f'  id:{item.id}'}"


def as_json(hits: Sequence[Hit]) -> str:
    """One array of objects."""
    return json.dumps(records(hits), ensure_ascii=False, indent=2) + "\n"


def as_json_lines(hits: Sequence[Hit]) -> str:
    """One object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in records(hits))


def as_csv(hits: Sequence[Hit]) -> str:
    """A header and a row a hit; facts as JSON in their column, and a column for what else was asked for."""
    text = io.StringIO()
    found = records(hits)
    asked_for = [name for name in ASKED_FOR if any(name in row for row in found)]
    rows = csv.DictWriter(text, [*COLUMNS, *asked_for], lineterminator="\n")
    rows.writeheader()
    for row in found:
        rows.writerow(row | {"facts": json.dumps(row["facts"], ensure_ascii=False)})
    return text.getvalue()


def paths(hits: Sequence[Hit]) -> str:
    """One path a line, each once, for other programs."""
    return "".join(f"{path}\n" for path in dict.fromkeys(hit.item.path for hit in hits))


FORMATS: dict[str, Callable[[Sequence[Hit]], str]] = {
    "table": table,
    "json": as_json,
    "jsonl": as_json_lines,
    "csv": as_csv,
    "paths": paths,
}

"""What `status` and `models` tell, as rows of plain data, and the ways to write rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from indexer.library import Library
from indexer.storage.files import shown

Rows = Sequence[dict[str, Any]]


def status(library: Library) -> Rows:
    """What the library holds, where it comes from and what is amiss, a fact a row."""
    from indexer.reembedding import unfinished

    catalog = library.catalog
    change = unfinished(library)
    meta = catalog.meta()
    facts: dict[str, Any] = {
        "library": str(library.path),
        "encoder": f"{meta['encoder']} ({meta['checksum']}), {meta['dimension']} dimensions",
        **{f"{modality} items": count for modality, count in catalog.counts().items()},
        "size": f"{library.size() / 1e6:.1f} MB",
        "failed": len(catalog.files.failures()),
        "changes not yet in a saved index": library.stale_changes(),
    }
    if change:
        facts["unfinished reembed"] = f"{change.encoder}, {change.items} items done; `descry reembed --model` goes on"
    rows = [{"what": what, "is": value} for what, value in facts.items()]
    places = catalog.files.roots()
    return rows + [{"what": "folder", "is": f"{path}{'' if path.exists() else ' (not there now)'}"} for path in places]


def failures(library: Library) -> Rows:
    """The files that could not be indexed, and why."""
    return [{"path": shown(path), "reason": reason} for path, reason in library.catalog.files.failures()]


def models() -> Rows:
    """The encoders that can be chosen by a short name."""
    from indexer.encoders.models import MODELS, is_here

    return [
        {
            "name": card.alias,
            "here": "yes" if is_here(card) else "no",
            "dimensions": card.dimension,
            "MB": card.megabytes,
            "ImageNet %": card.quality,
            "photos/s on a core": card.speed,
            "note": card.note,
        }
        for card in MODELS
    ]


def as_table(rows: Rows) -> str:
    """Columns for people, headed by the rows' keys if there is more than a name and a value."""
    if not rows:
        return "nothing to report"
    lines = [["-" if value is None else str(value) for value in row.values()] for row in rows]
    if len(rows[0]) > 2:
        lines.insert(0, [str(key) for key in rows[0]])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    cells = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in cells)


def as_json(rows: Rows) -> str:
    """One array of objects."""
    return json.dumps(rows, ensure_ascii=False, indent=2)


def as_json_lines(rows: Rows) -> str:
    """One object a line."""
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def as_csv(rows: Rows) -> str:
    """A header and a line a row; nothing at all for no rows."""
    text = io.StringIO()
    lines = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    return text.getvalue().rstrip("\n")


FORMATS: dict[str, Callable[[Rows], str]] = {
    "table": as_table,
    "json": as_json,
    "jsonl": as_json_lines,
    "csv": as_csv,
}

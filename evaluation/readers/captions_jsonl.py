"""`captions.jsonl`: a JSON object a line, photos beside it."""

from __future__ import annotations

import json
from pathlib import Path

from evaluation.readers.base import DataError, Example, captioned, field, lines, some


def read_captions_jsonl(path: Path) -> list[Example]:
    """A JSON Lines file of `{"image": relative path, "captions": [...], "split": ...}`, photos beside it."""
    return some(
        (_example(path, where, line) for where, line in lines(path)), path, "empty; one photo a line belongs here."
    )


def _example(path: Path, where: str, line: str) -> Example:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error.msg}).") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: a JSON object was expected.")
    photo = path.parent / field(row, "image", where)
    return captioned(where, photo, row.get("captions", [row.get("caption", "")]), str(row.get("split", "")))

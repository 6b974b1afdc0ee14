"""COCO's captions: `annotations/captions_val2017.json` and the photos of `val2017`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from evaluation.readers.base import DataError, Example, captioned, entries, field, find, json_of, some


def read_coco(path: Path) -> list[Example]:
    """`{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`, a photo's captions together.

    The photos lie in the folder that the file is named after, as COCO has it, or in `images`, or beside the file.
    Photos without a caption are left out.
    """
    held = json_of(path)
    captions: dict[Any, list[Any]] = defaultdict(list)
    for place, row in enumerate(entries(held, "annotations", str(path))):
        if not isinstance(row, dict) or "image_id" not in row or not str(row.get("caption") or "").strip():
            raise DataError(f"{path}:annotations[{place}]: an empty caption, or none; remove or mend it.")
        captions[row["image_id"]].append(row["caption"])
    split = path.stem.removeprefix("captions_")
    folders = [path.parent.parent / split, path.parent / split, path.parent / "images", path.parent]
    folders.sort(key=lambda folder: not folder.is_dir())
    kind = next((kind for kind in ("train", "val", "test") if split.startswith(kind)), "")
    rows = enumerate(entries(held, "images", str(path)))
    examples = (
        captioned(where, find(field(row, "file_name", where), folders), captions[row["id"]], kind)
        for where, row in ((f"{path}:images[{place}]", row) for place, row in rows)
        if isinstance(row, dict) and row.get("id") in captions
    )
    return some(examples, path, "captions no photo.")

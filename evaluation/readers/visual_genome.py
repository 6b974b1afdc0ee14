"""Visual Genome: `region_descriptions.json`, a phrase for each of some fifty regions of a photo.

Krishna et al.: Visual Genome (IJCV 2017). The regions' phrases are read as captions of the whole photo.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.readers.base import DataError, Example, captioned, entries, find, json_of, some

FOLDERS = ("VG_100K", "VG_100K_2", "images", ".")


def read_visual_genome(path: Path) -> list[Example]:
    """`[{"id", "regions": [{"phrase"}]}]`, the photo being `<id>.jpg` in `VG_100K`, `VG_100K_2` or beside the file."""
    rows = json_of(path)
    if not isinstance(rows, list):
        raise DataError(f"{path}: a list of photos with regions was expected.")
    examples = (_example(path, f"{path}:[{place}]", row) for place, row in enumerate(rows))
    return some(examples, path, "describes no photo.")


def _example(path: Path, where: str, row: Any) -> Example:
    phrases = [region.get("phrase") if isinstance(region, dict) else None for region in entries(row, "regions", where)]
    number = row.get("id", row.get("image_id"))
    if not isinstance(number, int):
        raise DataError(f"{where}: the photo's id is missing.")
    folders = sorted((path.parent / folder for folder in FOLDERS), key=lambda folder: not folder.is_dir())
    return captioned(where, find(f"{number}.jpg", folders), list(dict.fromkeys(phrases)))

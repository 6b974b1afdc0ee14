"""Karpathy's splits: `dataset_flickr8k.json`, `dataset_flickr30k.json`, `dataset_coco.json`.

Karpathy and Fei-Fei: Deep Visual-Semantic Alignments for Generating Image Descriptions (CVPR 2015).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.readers.base import Example, captioned, entries, field, find, json_of, some

# "restval" are COCO's validation photos that are in neither val nor test; everybody trains on them.
SPLITS = {"restval": "train"}


def read_karpathy(path: Path) -> list[Example]:
    """`{"images": [{"filename", "filepath", "split", "sentences": [{"raw"}]}]}`; photos beside it or in `images`."""
    rows = enumerate(entries(json_of(path), "images", str(path)))
    return some((_example(path, f"{path}:images[{place}]", row) for place, row in rows), path, "lists no photo.")


def _example(path: Path, where: str, row: Any) -> Example:
    name, split = field(row, "filename", where), str(row.get("split", ""))
    sentences = [one.get("raw") if isinstance(one, dict) else None for one in entries(row, "sentences", where)]
    below = str(row.get("filepath", ""))
    folders = [path.parent / "images", path.parent, path.parent / "Images", path.parent / "Flicker8k_Dataset"]
    photo = find(name, [folder / below for folder in folders])
    return captioned(where, photo, sentences, SPLITS.get(split, split))

"""A plain folder of photos, each with a `.txt` of the same name beside it: what people have without any data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evaluation.readers.base import DataError, Example, lines, some
from indexer.modalities.image import SUFFIXES


def read_text_beside(path: Path) -> list[Example]:
    """The photos below a folder that have a `.txt` beside them, a caption a line; others are passed over."""
    return some(_examples(path), path, "no photo in it has a .txt of the same name beside it; write captions there.")


def _examples(folder: Path) -> Iterator[Example]:
    for photo in sorted(folder.rglob("*")):
        text = photo.with_suffix(".txt")
        if photo.suffix.lower() not in SUFFIXES or not text.is_file():
            continue
        captions = tuple(line.strip() for _, line in lines(text))
        if not captions:
            raise DataError(f"{text}:1: an empty caption; say what is on {photo.name}, or remove the file.")
        yield Example(str(text), photo, captions)

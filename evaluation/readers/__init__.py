"""Readers of published data sets and of people's own folders: one small file a format, one row in `READERS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from evaluation.readers.base import DataError, Example
from evaluation.readers.captions_jsonl import read_captions_jsonl
from evaluation.readers.coco import read_coco
from evaluation.readers.conceptual_captions import read_conceptual_captions
from evaluation.readers.flickr8k import TOKENS, read_flickr8k
from evaluation.readers.karpathy import read_karpathy
from evaluation.readers.text_beside import read_text_beside
from evaluation.readers.visual_genome import read_visual_genome
from evaluation.readers.webdataset import read_captioned_tar, read_labelled_tar

__all__ = ["READERS", "DataError", "Example", "Reader", "read_captioned"]

# Of a JSON file, this much is looked at to see which of the formats it is.
PEEK = 1 << 16


class Reader(NamedTuple):
    """A format. `is_it` says whether a path that exists looks like one; None where only its name can say it."""

    read: Callable[[Path], list[Example]]
    is_it: Callable[[Path], bool] | None

    def __call__(self, path: Path) -> list[Example]:
        """The examples of the file or folder. Raises `DataError`."""
        return self.read(path)


def _named(*endings: str) -> Callable[[Path], bool]:
    return lambda path: path.is_file() and path.name.endswith(endings)


def _json_with(*keys: str) -> Callable[[Path], bool]:
    return lambda path: path.suffix == ".json" and any(f'"{key}"' in _beginning(path) for key in keys)


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(PEEK)


# The first that recognises a path reads it.
READERS: dict[str, Reader] = {
    "captions_jsonl": Reader(read_captions_jsonl, _named(".jsonl")),
    "flickr8k": Reader(read_flickr8k, _named("token.txt")),
    "karpathy": Reader(read_karpathy, _json_with("sentences", "sentids")),
    "visual_genome": Reader(read_visual_genome, _json_with("regions")),
    "coco": Reader(read_coco, _json_with("images", "annotations")),
    "conceptual_captions": Reader(read_conceptual_captions, _named(".tsv")),
    "captioned_tar": Reader(read_captioned_tar, _named(".tar")),
    "labelled_tar": Reader(read_labelled_tar, None),  # a tar of captions looks the same
    "text_beside": Reader(read_text_beside, Path.is_dir),
}

# What a folder is known by; a folder with neither is one of photos with texts beside them.
INDEXES = ("captions.jsonl", TOKENS)


def read_captioned(path: Path) -> list[Example]:
    """The captioned photos of a file or folder of any format, recognised by its name and first lines.

    Raises `DataError` if it is none of them, or has a photo without a caption.
    """
    if not path.exists():
        raise DataError(f"{path}: missing; name a file or folder of captioned photos.")
    path = next((path / name for name in INDEXES if (path / name).is_file()), path)
    reader = next((reader for reader in READERS.values() if reader.is_it and reader.is_it(path)), None)
    if reader is None:
        raise DataError(f"{path}: none of the formats {', '.join(READERS)}; convert it into one of them.")
    examples = reader(path)
    if bare := next((example for example in examples if not example.captions), None):
        raise DataError(f"{bare.where}: the photo has no caption; write one or remove it.")
    return examples

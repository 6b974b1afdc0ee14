"""Data sets by one front door: readers, what they give, and the photos that are held out."""

from __future__ import annotations

from collections.abc import Iterable

from evaluation.readers import READERS, DataError, Example, read_captioned
from evaluation.readers.captions_jsonl import read_captions_jsonl
from evaluation.readers.webdataset import read_captioned_tar, read_labelled_tar

__all__ = [
    "READERS",
    "DataError",
    "Example",
    "held_out",
    "read_captioned",
    "read_captioned_tar",
    "read_captions_jsonl",
    "read_labelled_tar",
]


def held_out(examples: Iterable[Example], *, every: int = 10) -> tuple[list[Example], list[Example]]:
    """Examples to train on and examples never trained on: of each ten in the order of the file, the first is held out.

    A rule, not a draw, so that training and evaluation agree without sharing a list.
    """
    everything = list(examples)
    kept = [example for position, example in enumerate(everything) if position % every]
    return kept, everything[::every]

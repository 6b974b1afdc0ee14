"""Class names as phrases that people would say: what a label of a data set becomes before an encoder reads it."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

# Phrases in sentences: the plain phrase first, then the ways captions begin. Zero-shot classification averages the
# vectors of all of them, as CLIP does with its eighty.
TEMPLATES = (
    "{}",
    "a photo of {}",
    "a picture of {}",
    "a close-up of {}",
    "a photo of {} on a plain background",
)


@cache
def _spoken() -> dict[str, list[str]]:
    table: dict[str, list[str]] = tomllib.loads(
        Path(__file__).with_name("class_names.toml").read_text(encoding="utf-8")
    )
    return table


def phrases(label: str) -> list[str]:
    """The phrases for a label, the best first; none if the label says nothing that can be seen.

    >>> phrases("car_side")
    ['a car from the side', 'a car', 'a parked car']
    >>> phrases("Egyptian cat")
    ['an Egyptian cat']
    """
    spoken = _spoken()
    if label in spoken:
        return list(spoken[label])
    return [with_article(synonym.strip().replace("_", " ")) for synonym in label.split(",")]


def with_article(name: str) -> str:
    """A noun with its indefinite article, chosen by the first letter.

    >>> with_article("abacus")
    'an abacus'
    """
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"

"""Vocabularies: sets of words that compete for a photo, and how likely the teacher or the label finds each.

A vocabulary turns class knowledge into training signal for both towers: the photo should be nearest to the words
that are true of it, the words are read by the text tower like any other sentence.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from evaluation.class_names import with_article
from evaluation.datasets import DataError

TEMPLATES = (
    "{}",
    "{}",
    "a photo of {}",
    "a picture of {}",
    "a close-up of {}",
    "an image of {}",
    "{} in a photo",
    "there is {} here",
    "a photo of {} on a plain background",
)


@dataclass(frozen=True)
class Vocabulary:
    """Words that compete, and what is true of each photo.

    `phrases[word]` are ways to say it; `targets` is `[photos, words]` float16, rows that sum to at most 1: what is
    missing is what the vocabulary has no word for. Rows of zeros belong to photos that it says nothing about.
    `labelled` where people said so, one word a photo; else the teacher did.
    """

    name: str
    phrases: tuple[tuple[str, ...], ...]
    targets: Tensor
    labelled: bool = False


def say(phrase: str, draw: random.Random, *, templates: int = len(TEMPLATES)) -> str:
    """A phrase in a sentence drawn from the first `templates` templates."""
    return TEMPLATES[draw.randrange(templates)].format(phrase)


def class_words(names: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The phrases of classes given by synonyms: with an article and bare, the commonest synonym most often."""
    return tuple(
        (with_article(synonyms[0]), with_article(synonyms[0]), synonyms[0], *(with_article(s) for s in synonyms[1:]))
        for synonyms in names
    )


@dataclass(frozen=True)
class Groups:
    """Words that stand for several classes: `members[i]` are the classes of `words[i]`."""

    words: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]

    def matrix(self, classes: int) -> Tensor:
        """`[classes, words]` of 0 and 1: probabilities of classes times this are those of the words."""
        matrix = torch.zeros(classes, len(self.words))
        for word, members in enumerate(self.members):
            matrix[list(members), word] = 1.0
        return matrix


def read_groups(path: Path) -> dict[str, Groups]:
    """The tables of a words file; raises `DataError` where words of one table overlap."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    groups = {}
    for name, table in tables.items():
        members = tuple(_numbers(numbers) for numbers in table.values())
        flat = [number for group in members for number in group]
        twice = {number for number in flat if flat.count(number) > 1}
        if twice:
            raise DataError(f"{path}: in [{name}] the classes {sorted(twice)} belong to two words.")
        groups[name] = Groups(tuple(table), members)
    return groups


def _numbers(text: str) -> tuple[int, ...]:
    """ "3, 7-9" -> (3, 7, 8, 9)."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(numbers)


def group_phrases(words: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The phrases of everyday words: bare and with an article, unless they bring their own."""
    return tuple((word, word) if word.startswith(("a ", "an ")) else (with_article(word), word) for word in words)

"""Pairs of sentences that mean the same: what the text tower learns from captions whose photos we do not have."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.datasets import DataError
from training.shipped.corpus import Part

# Of the pairs, the part that are two captions of one photo; the rest are one sentence twice, whose random word
# drops make it two.
OF_ONE_PHOTO = 0.8


@dataclass(frozen=True)
class Paraphrases:
    """Groups of captions of one photo, and sentences that stand alone."""

    groups: Sequence[Sequence[str]]
    alone: Sequence[str]
    draw: random.Random

    @classmethod
    def read(cls, files: Sequence[str], data: Path, parts: Sequence[Part], *, seed: int) -> Paraphrases:
        """The sentences of text files (JSON Lines of lists, or plain lines; gzip) and of captioned photos."""
        groups = [example.captions for part in parts for example in part.examples if len(example.captions) > 1]
        alone: list[str] = []
        for name in files:
            read = _read_groups if ".jsonl" in name else _read_lines
            for group in read(data / name):
                if len(group) > 1:
                    groups.append(tuple(group))
                else:
                    alone.extend(group)
        return cls(groups, alone, random.Random(seed))

    def pairs(self, count: int) -> tuple[list[str], list[str]]:
        """`count` sentences and their counterparts, no two pairs from the same photo."""
        together = round(count * OF_ONE_PHOTO) if self.alone else count
        drawn = [self.draw.sample(group, 2) for group in self.draw.sample(self.groups, together)]
        drawn += [[sentence, sentence] for sentence in self.draw.sample(self.alone, count - together)]
        return [first for first, _ in drawn], [second for _, second in drawn]


def _lines(path: Path) -> list[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [line for line in file if line.strip()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error


def _read_groups(path: Path) -> list[list[str]]:
    groups = []
    for number, line in enumerate(_lines(path), start=1):
        group = json.loads(line)
        if not isinstance(group, list) or not all(isinstance(text, str) and text.strip() for text in group):
            raise DataError(f"{path}:{number}: a list of sentences was expected, none of them empty.")
        groups.append(group)
    return groups


def _read_lines(path: Path) -> list[list[str]]:
    return [[line.strip()] for line in _lines(path)]

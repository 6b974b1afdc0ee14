"""Vocabularies: words that compete for a photo, and how likely each is by its label or by the ImageNet classifier.

The classes know "tabby" and "Persian cat", not "cat": the tables of `everyday.toml` say which classes a word covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evaluation.class_names import phrases, with_article
from evaluation.datasets import DataError, Example
from training.settings import read_toml
from training.shipped.corpus import Corpus

Tables = dict[str, dict[str, list[int]]]

# A label that a person gave counts so much where it is one of the classes; the rest is the classifier's: what else is
# on the photo.
LABEL = 0.9


@dataclass(frozen=True)
class Vocabulary:
    """Words that compete: the numbers of the sentences that say each, and `targets` `[photos, words]` float16.

    Rows of targets sum to at most 1: what is missing is what the vocabulary has no word for.
    """

    prompts: tuple[tuple[int, ...], ...]
    targets: Tensor

    @cached_property
    def described(self) -> npt.NDArray[np.int64]:
        """The rows of the photos that the vocabulary says something of."""
        return np.flatnonzero(self.targets.sum(dim=1).numpy())

    def drawn(self, draw: np.random.Generator) -> np.ndarray:
        """The number of one sentence for each word."""
        return np.array([one[draw.integers(len(one))] for one in self.prompts])


def vocabularies(corpus: Corpus, classes: Sequence[Sequence[str]], tables: Tables) -> list[tuple[tuple[int, ...], ...]]:
    """The sentences' numbers of the classes, each given by its synonyms, and of the everyday words."""
    words = [[with_article(synonym) for synonym in synonyms] for synonyms in classes]
    return [_prompts(corpus, words), *(_prompts(corpus, [[word] for word in table]) for table in tables.values())]


def targets(
    probabilities: Tensor, examples: Sequence[Example], classes: Sequence[Sequence[str]], tables: Tables
) -> list[Tensor]:
    """What is true of photos, in the order of `vocabularies`, from `probabilities` `[photos, classes]`."""
    known = probabilities.clone()
    of_label = {synonym: number for number, synonyms in enumerate(classes) for synonym in synonyms}
    of_label |= {", ".join(synonyms): number for number, synonyms in enumerate(classes)}
    for row, example in enumerate(examples):
        if example.label in of_label:
            known[row] *= 1 - LABEL
            known[row, of_label[example.label]] += LABEL
    groups = [_matrix(table, len(classes)) for table in tables.values()]
    return [known.half(), *((known @ group).half() for group in groups)]


def label_vocabularies(corpus: Corpus) -> list[Vocabulary]:
    """For each labelled source its labels, of which the right one is true of each of its photos."""
    found = []
    for rows in corpus.learned:
        labels = sorted({corpus.examples[row].label for row in rows} - {""})
        if labels:
            targets = torch.zeros(len(corpus.examples), len(labels), dtype=torch.float16)
            targets[rows, [labels.index(corpus.examples[row].label) for row in rows]] = 1.0
            found.append(Vocabulary(_prompts(corpus, [phrases(label) for label in labels]), targets))
    return found


def _prompts(corpus: Corpus, words: Sequence[Sequence[str]]) -> tuple[tuple[int, ...], ...]:
    templates = corpus.recipe.templates
    return tuple(tuple(corpus.number(template.format(one)) for one in ways for template in templates) for ways in words)


def read_tables(path: Path) -> Tables:
    """Word -> the classes that it covers, for each table. Raises `DataError` where words of one table overlap."""
    tables = {
        name: {_spoken(word): _numbers(numbers) for word, numbers in table.items()}
        for name, table in read_toml(path).items()
    }
    for name, table in tables.items():
        flat = [number for members in table.values() for number in members]
        if twice := sorted({number for number in flat if flat.count(number) > 1}):
            raise DataError(f"{path}: in [{name}] the classes {twice} belong to two words.")
    return tables


def _spoken(word: str) -> str:
    return word if word.startswith(("a ", "an ")) else with_article(word)


def _numbers(text: str) -> list[int]:
    """ "3, 7-9" -> [3, 7, 8, 9]."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers


def _matrix(table: dict[str, list[int]], classes: int) -> Tensor:
    """`[classes, words]` of 0 and 1: probabilities of classes times this are those of the words."""
    matrix = torch.zeros(classes, len(table))
    for word, members in enumerate(table.values()):
        matrix[members, word] = 1.0
    return matrix

"""What one training step sees: photos drawn by share, sentences that belong to them, words that are true of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluation.datasets import Example
from training.pairs import fits_by_chance
from training.shipped.corpus import Part, offsets
from training.shipped.words import Vocabulary, say

# A photo without captions is described by the everyday words that the teacher finds at least this likely, at most
# three: an eighth is little for one of 250 words, but scenes divide the teacher's probability among their things.
LIKELY = 0.12
# Of a large vocabulary a step uses the words drawn for its photos and this many others: all words together would
# cost twice the text of all captions.
OTHERS = 48
WHOLE = 64  # vocabularies up to this size take part whole


@dataclass(frozen=True)
class Choice:
    """Words that compete in one step: a sentence for each, and `targets` `[photos, words]`."""

    name: str
    sentences: list[str]
    targets: Tensor


@dataclass(frozen=True)
class Batch:
    """Rows of photos `[n]`, sentences `[m]` with their owners' positions, where `[m, n]` a sentence fits by chance."""

    rows: Tensor
    sentences: list[str]
    owners: Tensor
    ignored: Tensor
    choices: list[Choice]


class Sampler:
    """Draws batches; everything random comes from the two generators, whose states a checkpoint keeps."""

    def __init__(
        self,
        parts: Sequence[Part],
        vocabularies: Sequence[Vocabulary],
        *,
        shares: Sequence[float],
        captions: int,
        templates: int,
        seed: int,
    ) -> None:
        self.draw, self.numbers = random.Random(seed), np.random.default_rng(seed)
        self._examples: list[Example] = [example for part in parts for example in part.examples]
        self._rows = [np.arange(first, last) for first, last in pairwise(offsets(parts))]
        self._shares = np.asarray(shares) / sum(shares)
        self._vocabularies, self._captions, self._templates = vocabularies, captions, templates
        self._everyday = next((v for v in vocabularies if v.name == "everyday"), None)
        self._labels = _labels(vocabularies)

    def batch(self, size: int) -> Batch:
        """A batch of at most `size` photos, none of them twice."""
        rows = self._draw_rows(size)
        sentences, owners = [], []
        for position, row in enumerate(rows.tolist()):
            for sentence in self._sentences(row):
                sentences.append(sentence)
                owners.append(position)
        owner = torch.tensor(owners)
        ignored = fits_by_chance(sentences, owner, [self._labels.get(row, row) for row in rows.tolist()])
        return Batch(rows, sentences, owner, ignored, self._choices(rows))

    def state(self) -> Any:
        """The states of both generators, for a checkpoint."""
        return self.draw.getstate(), self.numbers.bit_generator.state

    def restore(self, state: Any) -> None:
        """Goes on drawing where `state` was taken."""
        self.draw.setstate(state[0])
        self.numbers.bit_generator.state = state[1]

    def _draw_rows(self, size: int) -> Tensor:
        counts = self.numbers.multinomial(size, self._shares)
        drawn = [
            self.numbers.choice(rows, min(count, len(rows)), replace=False)
            for rows, count in zip(self._rows, counts, strict=True)
        ]
        return torch.from_numpy(np.concatenate(drawn))

    def _sentences(self, row: int) -> list[str]:
        """Captions where there are any, else a prompt of the label, else one of what the teacher sees."""
        captions = self._examples[row].captions
        if captions:
            return self.draw.sample(captions, min(self._captions, len(captions)))
        if row in self._labels:
            name, word = self._labels[row]
            vocabulary = next(v for v in self._vocabularies if v.name == name)
            return [say(self.draw.choice(vocabulary.phrases[word]), self.draw, templates=self._templates)]
        return self._described(row)

    def _described(self, row: int) -> list[str]:
        if self._everyday is None:
            return []
        likely, words = self._everyday.targets[row].float().topk(3)
        seen = [int(word) for p, word in zip(likely, words, strict=True) if p > LIKELY]
        if not seen:
            return []
        self.draw.shuffle(seen)
        joint = " and " if self.draw.random() < 0.5 else ", "
        phrase = joint.join(self.draw.choice(self._everyday.phrases[word]) for word in seen)
        return [say(phrase, self.draw, templates=self._templates)]

    def _choices(self, rows: Tensor) -> list[Choice]:
        choices = []
        for vocabulary in self._vocabularies:
            targets = vocabulary.targets[rows].float()
            if not targets.any():
                continue
            words = self._some_words(targets)
            sentences = [
                say(self.draw.choice(vocabulary.phrases[word]), self.draw, templates=self._templates)
                for word in words.tolist()
            ]
            choices.append(Choice(vocabulary.name, sentences, targets[:, words]))
        return choices

    def _some_words(self, targets: Tensor) -> Tensor:
        """All words of a small vocabulary; of a large one, a word drawn for each photo, and some others."""
        total = targets.shape[1]
        if total <= WHOLE:
            return torch.arange(total)
        heights = self.numbers.random(len(targets)) * targets.sum(dim=1).numpy()
        drawn = (targets.cumsum(dim=1) > torch.from_numpy(heights)[:, None]).float().argmax(dim=1)
        others = torch.from_numpy(self.numbers.integers(0, total, OTHERS))
        return torch.from_numpy(np.unique(torch.cat([drawn, others]).numpy()))


def _labels(vocabularies: Sequence[Vocabulary]) -> dict[int, tuple[str, int]]:
    """Row of a photo -> (vocabulary, word), for the vocabularies that people labelled."""
    return {
        row: (vocabulary.name, word)
        for vocabulary in vocabularies
        if vocabulary.labelled
        for row, word in vocabulary.targets.nonzero().tolist()
    }

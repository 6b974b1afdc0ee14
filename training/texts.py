"""Sentences as token ids for training: each tokenised once, batched by length so that little is padded."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.text_model import TextModel

# Rows of similar length that go through the model together: smaller slices pad less but start more kernels.
SLICE = 256


class Texts:
    """Tokenises with a memory: captions and prompts come back every epoch."""

    def __init__(self, tokenizer: Path, context: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._unknown = self._tokenizer.token_to_id("[UNK]") or 0
        self._context = context
        self._known: dict[str, tuple[int, ...]] = {}

    @property
    def size(self) -> int:
        """The number of tokens in the vocabulary."""
        return int(self._tokenizer.get_vocab_size())

    def ids(self, sentence: str) -> tuple[int, ...]:
        """The token ids of a sentence, at least one, at most the context."""
        if sentence not in self._known:
            ids = self._tokenizer.encode(sentence, add_special_tokens=False).ids[: self._context]
            self._known[sentence] = tuple(ids) or (self._unknown,)
        return self._known[sentence]

    def padded(self, sentences: Sequence[str]) -> Tensor:
        """Sentences as ids `[n, longest]`, -1 where one has ended."""
        return padded([self.ids(sentence) for sentence in sentences])

    def embed(
        self, model: TextModel, sentences: Sequence[str], *, drop: float = 0.0, draw: random.Random | None = None
    ) -> Tensor:
        """Sentences as unit rows `[n, dimension]`; with `drop`, that part of the words is left out at random."""
        rows = [self.ids(sentence) for sentence in sentences]
        if drop and draw is not None:
            rows = [tuple(token for token in row if draw.random() >= drop) or row for row in rows]
        order = sorted(range(len(rows)), key=lambda position: len(rows[position]))
        slices = [order[start : start + SLICE] for start in range(0, len(order), SLICE)]
        vectors = torch.cat([model(padded([rows[position] for position in positions])) for positions in slices])
        return vectors[torch.from_numpy(np.argsort(np.asarray(order)))]


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids as `[n, longest]`, -1 where a row has ended."""
    array = np.full((len(rows), max(map(len, rows))), -1, dtype=np.int64)
    for position, row in enumerate(rows):
        array[position, : len(row)] = row
    return torch.from_numpy(array)

"""The text side of the shipped encoder in numpy: a query is answered without importing torch.

The same arithmetic is trained as `training.text_model.TextModel`; a test holds the two together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.encoders.arithmetic import attention, gelu_tanh, layer_norm
from indexer.encoders.base import unit_rows
from indexer.encoders.word_pieces import WordPieces
from indexer.items import Float32Array, Int64Array

# Rows embedded at once: enough for the matrix products to be efficient, few enough for the hidden layer
# (rows x tokens x 1024 numbers) to stay within a few dozen megabytes.
BATCH = 128
NORM_EPSILON = 1e-5  # torch's LayerNorm default, with which the weights were trained


@dataclass(frozen=True)
class TextWeights:
    """The tower's arrays by their names in `model.safetensors` (without the prefix `text.`), and its few sizes."""

    arrays: Mapping[str, npt.NDArray[Any]]
    layers: int
    heads: int
    context: int


class TextTower:
    """Embeds sentences: WordPiece, static token vectors, a small transformer, a mean."""

    def __init__(self, tokenizer: Path, weights: TextWeights) -> None:
        self._tokenizer = WordPieces(tokenizer)
        self._context, self._layers, self._heads = weights.context, weights.layers, weights.heads
        table = ("table", "table_scale")
        self._table, self._table_scale = (weights.arrays[name] for name in table)
        # Cast once: float16 matrix products in numpy cost far more than they save.
        self._w = {name: array.astype(np.float32) for name, array in weights.arrays.items() if name not in table}

    def fits(self, value: str) -> bool:
        """Whether the sentence has no more tokens than the tower's context."""
        return len(self._tokenizer.encode(value)) <= self._context

    def is_whole(self, word: str) -> bool:
        """Whether a word is one piece of the vocabulary; of others the tower knows only the parts."""
        return self._tokenizer.is_whole(word)

    def prepare(self, value: str) -> Int64Array:
        """A sentence as token ids `[t]`, 1 <= t <= context; what is beyond is not seen."""
        ids = self._tokenizer.encode(value)[: self._context]
        return np.asarray(ids or [self._tokenizer.unknown], dtype=np.int64)

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """Sentences as unit rows `[n, dim]`.

        Sentences of one length go together, so that none is padded and a row does not depend on its company.
        """
        rows = np.empty((len(prepared), self._w["leave.bias"].shape[0]), np.float32)
        for positions in _batches_of_one_length([len(ids) for ids in prepared]):
            rows[positions] = self._embed(np.stack([prepared[position] for position in positions]))
        return unit_rows(rows)

    def _embed(self, ids: Int64Array) -> Float32Array:
        """Ids `[n, t]` -> vectors `[n, dim]`."""
        tokens = self._table[ids].astype(np.float32) * self._table_scale[ids].astype(np.float32)[..., None]
        x = self._linear("enter", tokens) + self._w["positions"][: ids.shape[1]]  # (n, t, width)
        for layer in range(self._layers):
            x = self._block(f"blocks.{layer}.", x)
        order = self._linear("leave", self._norm("norm", x).mean(axis=1))
        vectors: Float32Array = order + tokens.mean(axis=1) @ self._w["direct.weight"].T
        return vectors

    def _block(self, prefix: str, x: Float32Array) -> Float32Array:
        mixed = attention(self._linear(prefix + "attend", self._norm(prefix + "norm1", x)), self._heads)
        x = x + self._linear(prefix + "mix", mixed)
        hidden = gelu_tanh(self._linear(prefix + "into", self._norm(prefix + "norm2", x)))
        return x + self._linear(prefix + "out", hidden)

    def _linear(self, name: str, x: Float32Array) -> Float32Array:
        return x @ self._w[name + ".weight"].T + self._w[name + ".bias"]

    def _norm(self, name: str, x: Float32Array) -> Float32Array:
        return layer_norm(x, self._w[name + ".weight"], self._w[name + ".bias"], NORM_EPSILON)


def _batches_of_one_length(lengths: Sequence[int]) -> list[list[int]]:
    """Positions grouped by length, at most `BATCH` a group."""
    groups: dict[int, list[int]] = defaultdict(list)
    for position, length in enumerate(lengths):
        groups[length].append(position)
    return [group[start : start + BATCH] for group in groups.values() for start in range(0, len(group), BATCH)]

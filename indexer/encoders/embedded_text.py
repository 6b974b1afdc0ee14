"""The text side of the shipped encoder: MiniLM's vector of a sentence, and a head that takes it to where photos are.

In numpy: a query is answered without importing torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from indexer.encoders.base import unit_rows
from indexer.encoders.embedded_head import Head
from indexer.encoders.minilm import MiniLM, tokens
from indexer.encoders.word_pieces import WordPieces
from indexer.items import Float32Array, Int64Array

# The names of the transformer's arrays among those of the tower, and of the head's.
TRANSFORMER, HEAD = "minilm.", "head."


class TextTower:
    """Embeds sentences."""

    def __init__(self, tokenizer: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """`arrays` by their names in `model.safetensors` (without the prefix `text.`).

        Raises `KeyError` or `ValueError` if they do not fit each other.
        """
        self._word_pieces = WordPieces(tokenizer)
        self._transformer = MiniLM(_below(arrays, TRANSFORMER))
        self._head = Head(_below(arrays, HEAD))
        if self._head.width != self._transformer.width:
            raise ValueError(
                f"a head for {self._head.width} numbers, a transformer that gives {self._transformer.width}"
            )

    def fits(self, value: str) -> bool:
        """Whether the sentence has no more tokens than the transformer's context."""
        return bool(len(self._word_pieces.encode(value)) + 2 <= self._transformer.context)  # [CLS] and [SEP]

    def is_whole(self, word: str) -> bool:
        """Whether a word is one piece of the vocabulary; of others the tower knows only the parts."""
        return self._word_pieces.is_whole(word)

    def prepare(self, value: str) -> Int64Array:
        """A sentence as token ids `[t]`; what is beyond the context is not seen."""
        return tokens(self._word_pieces, value, self._transformer.context)

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """Sentences as unit rows `[n, dim]`."""
        return unit_rows(self._head(self._transformer.encode(prepared)))


def _below(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

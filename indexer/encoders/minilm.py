"""all-MiniLM-L6-v2 (sentence-transformers; Wang et al., "MiniLM", 2020) in numpy, its weights in int8: a sentence's
vector without torch.

A BERT of post-norm layers. Matrices are int8 with a float16 scale a row, widened to float32 one at a time in a buffer
that stays in the cache: all of them over 16 tokens take 6.2 ms of an AVX2 core, float32 matrices read from memory 8.7.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.encoders.arithmetic import attention, gelu, layer_norm
from indexer.encoders.word_pieces import WordPieces
from indexer.items import Float32Array, Int64Array

NORM_EPSILON = 1e-12  # BERT's, with which the weights were trained

# Tokens that go through the layers together, of as many sentences as that are. Flickr8k captions of 14.6 tokens a CPU
# second at 256 / 1024 / 2048 / 8192 tokens, AVX2: 191 / 196 / 189 / 119 (a hidden layer of 50 MB leaves the cache).
TOKENS = 1024


class MiniLM:
    """Sentences as vectors: the mean of the last layer's states over all tokens, [CLS] and [SEP] too."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], *, heads: int = 12) -> None:
        """`arrays` by name: `word`, `pos`, `n0` and `layers.N.{qkv,out,n1,fc1,fc2,n2}`, each `.weight`, `.weight.scale`
        where that is int8, and `.bias`. They may be memory-mapped: only what is needed is read, when it is.

        Raises `KeyError` or `ValueError` if they do not fit each other.
        """
        self._arrays, self._heads = arrays, heads
        self.context, self.width = arrays["pos"].shape
        self.layers = len({name.split(".")[1] for name in arrays if name.startswith("layers.")})
        self._check()
        matrices = [arrays[f"{name}.weight"] for name in self._linear_layers()]
        self._largest = max((matrix.size for matrix in matrices), default=0)

    def _linear_layers(self) -> Iterator[str]:
        for layer in range(self.layers):
            for part in ("qkv", "out", "fc1", "fc2"):
                yield f"layers.{layer}.{part}"

    def _check(self) -> None:
        if self.width % self._heads:
            raise ValueError(f"{self.width} states for {self._heads} heads")
        hidden = self._arrays["layers.0.fc1.weight"].shape[0] if self.layers else 0
        outputs = {"qkv": 3 * self.width, "out": self.width, "fc1": hidden, "fc2": self.width}
        expected = {"word": (len(self._arrays["word.weight"]), self.width)}
        for name in self._linear_layers():
            part = name.rpartition(".")[2]
            expected[name] = (outputs[part], hidden if part == "fc2" else self.width)
        for name, (rows, columns) in expected.items():
            shapes = {"weight": (rows, columns), "weight.scale": (rows,)} | (
                {} if name == "word" else {"bias": (rows,)}
            )
            for kind, shape in shapes.items():
                if self._arrays[f"{name}.{kind}"].shape != shape:
                    raise ValueError(f"{name}.{kind} is {self._arrays[f'{name}.{kind}'].shape}, not {shape}")
        norms = ["n0", *(f"layers.{layer}.{part}" for layer in range(self.layers) for part in ("n1", "n2"))]
        for name in norms:
            for kind in ("weight", "bias"):
                if self._arrays[f"{name}.{kind}"].shape != (self.width,):
                    raise ValueError(f"{name}.{kind} is {self._arrays[f'{name}.{kind}'].shape}, not {(self.width,)}")

    def encode(self, sentences: Sequence[Int64Array]) -> Float32Array:
        """Token ids, each `[t]` with 1 <= t <= context, [CLS] and [SEP] among them -> vectors `[n, width]`.

        The vectors are not of unit length.
        """
        vectors = np.empty((len(sentences), self.width), np.float32)
        for group in _groups([len(ids) for ids in sentences]):
            vectors[group] = self._encode([sentences[place] for place in group])
        return vectors

    def _encode(self, sentences: Sequence[Int64Array]) -> Float32Array:
        """Sentences, the shorter ones first: the tokens of all are the rows of one matrix, none is padded."""
        buffer = np.empty(self._largest, np.float32)
        x = self._embedded(sentences)  # (tokens, width)
        runs = list(_runs([len(ids) for ids in sentences]))
        for layer in range(self.layers):
            name = f"layers.{layer}"
            mixed = self._attention(self._linear(f"{name}.qkv", x, buffer), runs)
            x = self._norm(f"{name}.n1", x + self._linear(f"{name}.out", mixed, buffer))
            hidden = gelu(self._linear(f"{name}.fc1", x, buffer))
            x = self._norm(f"{name}.n2", x + self._linear(f"{name}.fc2", hidden, buffer))
        means = [x[rows].reshape(-1, length, self.width).mean(axis=1) for rows, length in runs]
        vectors: Float32Array = np.concatenate(means)
        return vectors

    def _embedded(self, sentences: Sequence[Int64Array]) -> Float32Array:
        """The first states `[tokens, width]`: only the rows of words that occur are read."""
        ids = np.concatenate(sentences)
        words = self._arrays["word.weight"][ids].astype(np.float32)
        words *= self._arrays["word.weight.scale"][ids].astype(np.float32)[:, np.newaxis]
        places = np.concatenate([np.arange(len(ids)) for ids in sentences])
        return self._norm("n0", words + self._arrays["pos"][places].astype(np.float32))

    def _attention(self, projected: Float32Array, runs: Sequence[tuple[slice, int]]) -> Float32Array:
        """`[tokens, 3 width]` -> `[tokens, width]`: each sentence's tokens among themselves."""
        mixed = np.empty((len(projected), self.width), np.float32)
        for rows, length in runs:
            together = attention(projected[rows].reshape(-1, length, 3 * self.width), self._heads)
            mixed[rows] = together.reshape(-1, self.width)
        return mixed

    def _linear(self, name: str, x: Float32Array, buffer: Float32Array) -> Float32Array:
        """`[tokens, in]` -> `[tokens, out]`; the scale of a row of weights is that of an output."""
        weight = self._arrays[f"{name}.weight"]
        widened = buffer[: weight.size].reshape(weight.shape)
        np.copyto(widened, weight)
        y: Float32Array = x @ widened.T
        y *= self._arrays[f"{name}.weight.scale"].astype(np.float32)
        y += self._arrays[f"{name}.bias"].astype(np.float32)
        return y

    def _norm(self, name: str, x: Float32Array) -> Float32Array:
        weight, bias = (self._arrays[f"{name}.{kind}"].astype(np.float32) for kind in ("weight", "bias"))
        return layer_norm(x, weight, bias, NORM_EPSILON)


def tokens(word_pieces: WordPieces, text: str, context: int) -> Int64Array:
    """A text as the ids `[t]` that `MiniLM.encode` takes: between [CLS] and [SEP], `context` of them at most."""
    first, last = word_pieces.id("[CLS]"), word_pieces.id("[SEP]")
    return np.array([first, *word_pieces.encode(text)[: context - 2], last], np.int64)


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The places of sentences, the shortest first, in groups of at most `TOKENS` tokens, or of one sentence."""
    group: list[int] = []
    total = 0
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and total + lengths[place] > TOKENS:
            yield group
            group, total = [], 0
        group.append(place)
        total += lengths[place]
    if group:
        yield group


def _runs(lengths: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """The rows of the tokens of sentences of one length, which follow each other, and that length."""
    counts: dict[int, int] = defaultdict(int)
    for length in lengths:
        counts[length] += 1
    start = 0
    for length, count in counts.items():
        yield slice(start, start + count * length), length
        start += count * length

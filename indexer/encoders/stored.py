"""The text tower of an open_clip model in numpy: a search by sentence without torch.

Importing torch and open_clip and loading a model takes seconds; mapping the weights of a text tower into
memory and multiplying a dozen tokens through it takes tens of milliseconds. `indexer.encoders.storing`
writes the folder that `load_stored` opens: `config.json`, `weights.safetensors`, and `merges.npy` or
`tokenizer.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from indexer.encoders.arithmetic import attention, gelu, gelu_tanh, layer_norm
from indexer.encoders.base import unit_rows
from indexer.encoders.clip_tokens import CLEANERS, ClipTokenizer, load_merges
from indexer.encoders.weights import map_arrays
from indexer.errors import EncoderUnavailable
from indexer.items import Float32Array, Int64Array

FORMAT = 1
CONFIG, WEIGHTS, MERGES, TOKENIZER = "config.json", "weights.safetensors", "merges.npy", "tokenizer.json"

Weights = Mapping[str, Float32Array]


@dataclass(frozen=True, slots=True)
class TextConfig:
    """What a stored text tower is: whose it is, its shape, and how its sentences become tokens.

    `checksum` is that of the encoder it was taken from. `pool` says which token's row is the sentence's:
    "first", "last", "argmax" (the largest id, CLIP's end of text) or "eos" (the first `eos` id).
    """

    name: str
    dimension: int
    checksum: str
    context: int
    layers: int
    heads: int
    causal: bool
    activation: str
    epsilon: float
    pool: str
    eos: int
    clean: str
    pad: int
    tokenizer: str
    format: int = FORMAT


class Tokenizer(Protocol):
    """Sentences to token ids."""

    def encode(self, text: str) -> list[int]:
        """The ids of all tokens of a text, those of start and end included, however many."""
        ...


class StoredTextTower:
    """Embeds sentences with the weights of an open_clip text tower, in float32 and without torch.

    A `Tower`. `weights` are the arrays of `layer_names` and of the ends of the tower, any of them memory-mapped:
    of the token embedding only the rows that occur are read.
    """

    def __init__(self, config: TextConfig, weights: Weights, tokenizer: Tokenizer) -> None:
        self.config = config
        self.name, self.dimension, self.checksum = config.name, config.dimension, config.checksum
        self._weights, self._tokenizer = weights, tokenizer
        self._activation = ACTIVATIONS[config.activation]
        # With a causal mask nothing behind the pooled token can reach it: leaving that out is exact and,
        # for a caption of a dozen tokens in a context of 77, most of the work.
        self._cut = config.causal and config.pool in ("argmax", "eos")

    def fits(self, value: str) -> bool:
        """Whether all tokens of the sentence fit into the context."""
        return len(self._tokenizer.encode(value)) <= self.config.context

    def prepare(self, value: str) -> Int64Array:
        """The sentence's token ids, `[context]` int64, cut behind the last one that matters."""
        ids = self._tokenizer.encode(value)
        if len(ids) > self.config.context:
            ids = [*ids[: self.config.context - 1], ids[-1]]
        row = np.full(self.config.context, self.config.pad, dtype=np.int64)
        row[: len(ids)] = ids
        return row[: self._pooled(row) + 1] if self._cut else row

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """A batch of prepared sentences as `[n, dim]` float32 unit rows.

        Sentences of one length go together, so that none is padded: a row does not depend on its company.
        """
        rows = np.zeros((len(prepared), self.dimension), dtype=np.float32)
        lengths = [len(ids) for ids in prepared]
        for length in set(lengths):
            positions = [position for position, own in enumerate(lengths) if own == length]
            rows[positions] = self._embedded(np.stack([prepared[position] for position in positions]))
        return rows

    def _embedded(self, ids: npt.NDArray[Any]) -> Float32Array:
        """Token ids `[n, length]` as unit rows `[n, dim]`."""
        pooled = [self._pooled(row) for row in ids]
        states = self._transformed(ids)[np.arange(len(ids)), pooled]  # (n, length, width) -> (n, width)
        return unit_rows(self._projected(self._norm(states, "ln_final")))

    def _pooled(self, ids: npt.NDArray[Any]) -> int:
        """The position of the token whose row stands for the sentence."""
        match self.config.pool:
            case "first":
                return 0
            case "last":
                return len(ids) - 1
            case "eos":
                return int((ids == self.config.eos).argmax())
            case _:
                return int(ids.argmax())

    def _transformed(self, ids: npt.NDArray[Any]) -> Float32Array:
        """Token ids `[n, length]` through all layers: `[n, length, width]`."""
        length = ids.shape[1]
        states: Float32Array = self._weights["token_embedding"][ids] + self._weights["positional_embedding"][:length]
        mask = np.triu(np.full((length, length), -np.inf, dtype=np.float32), 1) if self.config.causal else None
        for layer in range(self.config.layers):
            states = states + self._attention(self._norm(states, f"{layer}.ln_1"), layer, mask)
            states = states + self._perceptron(self._norm(states, f"{layer}.ln_2"), layer)
        return states

    def _attention(self, states: Float32Array, layer: int, mask: Float32Array | None) -> Float32Array:
        mixed = attention(self._linear(states, f"{layer}.attn.in"), self.config.heads, mask)
        return self._linear(mixed, f"{layer}.attn.out")

    def _perceptron(self, states: Float32Array, layer: int) -> Float32Array:
        return self._linear(self._activation(self._linear(states, f"{layer}.mlp.in")), f"{layer}.mlp.out")

    def _projected(self, states: Float32Array) -> Float32Array:
        return self._linear(states, "projection") if "projection.weight" in self._weights else states

    def _linear(self, states: Float32Array, name: str) -> Float32Array:
        """`[..., in]` -> `[..., out]`, as one product of two matrices: numpy would make one of each sentence's."""
        weight = self._weights[f"{name}.weight"]  # [out, in], as torch keeps it
        out: Float32Array = states.reshape(-1, weight.shape[1]) @ weight.T
        if (bias := self._weights.get(f"{name}.bias")) is not None:
            out += bias
        return out.reshape(*states.shape[:-1], weight.shape[0])

    def _norm(self, states: Float32Array, name: str) -> Float32Array:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return layer_norm(states, weight, bias, self.config.epsilon)


def load_stored(folder: Path) -> StoredTextTower:
    """The text tower stored in a folder, its weights memory-mapped.

    For ViT-B/32 on one core of a busy machine it opens in 2 to 8 ms, embeds its first caption in 60 to 140 ms, a
    further one in 47 and each of a batch of 128 in 17 (torch: 57), and takes 150 MB of memory, all of it pages of
    the file. Importing torch, loading the model and embedding the first caption takes 5 s and 2.1 GB.
    Raises `EncoderUnavailable` if there is none or if its files cannot be read.
    """
    try:
        config = _read_config(folder / CONFIG)
        return StoredTextTower(config, _read_weights(folder / WEIGHTS), _read_tokenizer(folder, config))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderUnavailable(
            f"The text tower stored in {folder} cannot be read ({error}); delete that folder, and searches"
            " load the whole model instead."
        ) from error


def _read_weights(path: Path) -> Weights:
    arrays = map_arrays(path)
    for name, array in arrays.items():
        if array.dtype != np.float32:
            raise ValueError(f"its array {name} is {array.dtype} instead of float32")
    return arrays


def _read_config(path: Path) -> TextConfig:
    values = json.loads(path.read_text(encoding="utf-8"))
    if values.get("format") != FORMAT:
        raise ValueError(f"its format is {values.get('format')}, this version reads {FORMAT}")
    return TextConfig(**{field.name: values[field.name] for field in fields(TextConfig)})


def _read_tokenizer(folder: Path, config: TextConfig) -> Tokenizer:
    if config.tokenizer == "clip":
        return ClipTokenizer(load_merges(folder / MERGES), clean=config.clean)
    return PackagedTokenizer(folder / TOKENIZER, clean=config.clean)


class PackagedTokenizer:
    """The tokenizer of a `tokenizer.json`, for models whose vocabulary is not CLIP's (SigLIP, multilingual ones)."""

    def __init__(self, path: Path, *, clean: str) -> None:
        from tokenizers import Tokenizer as Implementation  # 25 ms that most queries need not pay

        self._clean = CLEANERS[clean]
        self._implementation = Implementation.from_file(str(path))
        self._implementation.no_padding()
        self._implementation.no_truncation()

    def encode(self, text: str) -> list[int]:
        """The ids of all tokens of a text with the special ones that its model expects."""
        ids: list[int] = self._implementation.encode(self._clean(text)).ids
        return ids


def _quick_gelu(x: Float32Array) -> Float32Array:
    # A logistic function that cannot overflow: 1 / (1 + exp(-u)) = (1 + tanh(u / 2)) / 2
    return np.asarray(np.float32(0.5) * x * (1 + np.tanh(np.float32(0.851) * x)), dtype=np.float32)


ACTIVATIONS: dict[str, Callable[[Float32Array], Float32Array]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": _quick_gelu,
}

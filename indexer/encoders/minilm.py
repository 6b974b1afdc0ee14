"""all-MiniLM-L6-v2 (sentence-transformers; Wang et al., "MiniLM", 2020) in numpy: a sentence's vector without torch.

A BERT of post-norm layers. Matrices are int8 with a float16 scale a row, widened to float32 one at a time in a buffer
that stays in the cache: all of them over 16 tokens take 6.2 ms of an AVX2 core, float32 matrices read from memory 8.7.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from indexer.encoders.layers import attention, gelu, layer_norm
from indexer.items import Float32Array, Int64Array

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NORM_EPSILON = 1e-12  # BERT's, with which the weights were trained

# Tokens that go through the layers together, of as many sentences as that are. Flickr8k captions of 14.6 tokens a CPU
# second at 256 / 1024 / 2048 / 8192 tokens, AVX2: 191 / 196 / 189 / 119 (a hidden layer of 50 MB leaves the cache).
TOKENS = 1024

UNKNOWN = "[UNK]"

# What such a file says beside its vocabulary, if it does what is done here (Devlin et al. 2019, uncased).
_BUILD: Mapping[str, Any] = {
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
}
_MODEL: Mapping[str, Any] = {"type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": "##"}
_LONGEST = "max_input_chars_per_word"

# Text in which there is nothing to normalise but the case: printable ASCII and white space. A bracket may begin a
# special token.
_PLAIN = re.compile(r"[\t\n\r -Z\\-~]*")
_WORDS = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")

# What stands in the file as it is. Then so many pieces are looked up before all of them are read.
_AS_WRITTEN = re.compile(r"[ !#-\[\]-~]+")
LOOKED_UP, LONGEST_ID = 256, 24

# More distinct words than most captions hold; 65 thousand entries take about 10 MB.
_REMEMBERED_WORDS = 65_536


class MiniLM:
    """Sentences as vectors: the mean of the last layer's states over all tokens, [CLS] and [SEP] too.

    With `words` a second half of each vector is the mean of the first states, before any layer, of the tokens between
    those two: the words themselves, which the layers blend. Both halves are then of mean 0 and deviation 1.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], *, heads: int = 12, words: bool = False) -> None:
        """`arrays` by name: `word`, `pos`, `n0` and `layers.N.{qkv,out,n1,fc1,fc2,n2}`, each `.weight`, `.weight.scale`
        where that is int8, and `.bias`. They may be memory-mapped: only what is needed is read, when it is.

        Raises `KeyError` or `ValueError` if they do not fit each other.
        """
        self._arrays, self._heads, self._words = arrays, heads, words
        self.context, self.width = arrays["pos"].shape
        self.outputs = 2 * self.width if words else self.width
        self.layers = len({name.split(".")[1] for name in arrays if name.startswith("layers.")})
        if self.width % heads:
            raise ValueError(f"{self.width} states for {heads} heads")
        shapes = self._shapes()
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} is {arrays[name].shape}, not {shape}")
        self._largest = max(arrays[name].size for name in shapes if name != "word.weight")

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes that the arrays should have."""
        words, width = len(self._arrays["word.weight"]), self.width
        hidden = self._arrays["layers.0.fc1.weight"].shape[0] if self.layers else 0
        shapes: dict[str, tuple[int, ...]] = {"word.weight": (words, width), "word.weight.scale": (words,)}
        norms = ["n0"]
        for layer in range(self.layers):
            sides = {"qkv": (3 * width, width), "out": (width, width), "fc1": (hidden, width), "fc2": (width, hidden)}
            for part, (outputs, inputs) in sides.items():
                name = f"layers.{layer}.{part}"
                shapes[f"{name}.weight"] = (outputs, inputs)
                shapes[f"{name}.weight.scale"] = shapes[f"{name}.bias"] = (outputs,)
            norms += [f"layers.{layer}.n1", f"layers.{layer}.n2"]
        return shapes | {f"{name}.{kind}": (width,) for name in norms for kind in ("weight", "bias")}

    def encode(self, sentences: Sequence[Int64Array]) -> Float32Array:
        """Token ids, each `[t]` with 1 <= t <= context, [CLS] and [SEP] among them -> vectors `[n, outputs]`.

        The vectors are not of unit length.
        """
        vectors = np.empty((len(sentences), self.outputs), np.float32)
        for group in _groups([len(ids) for ids in sentences]):
            vectors[group] = self._encode([sentences[place] for place in group])
        return vectors

    def _encode(self, sentences: Sequence[Int64Array]) -> Float32Array:
        """Sentences, the shorter ones first: the tokens of all are the rows of one matrix, none is padded."""
        buffer = np.empty(self._largest, np.float32)
        x = first = self._embedded(sentences)  # (tokens, width)
        runs = list(_runs([len(ids) for ids in sentences]))
        for layer in range(self.layers):
            name = f"layers.{layer}"
            mixed = self._attention(self._linear(f"{name}.qkv", x, buffer), runs)
            x = self._norm(f"{name}.n1", x + self._linear(f"{name}.out", mixed, buffer))
            hidden = gelu(self._linear(f"{name}.fc1", x, buffer))
            x = self._norm(f"{name}.n2", x + self._linear(f"{name}.fc2", hidden, buffer))
        vectors = self._means(x, runs)
        if not self._words:
            return vectors
        return np.hstack([_standardised(vectors), _standardised(self._means(first, runs, ends=1))])

    def _means(self, states: Float32Array, runs: Sequence[tuple[slice, int]], ends: int = 0) -> Float32Array:
        """The mean state of each sentence, without so many at each of its ends, unless that were all."""
        kept = [(rows, length, ends if length > 2 * ends else 0) for rows, length in runs]
        each = [states[rows].reshape(-1, length, self.width)[:, few : length - few] for rows, length, few in kept]
        means: Float32Array = np.concatenate([of_one_length.mean(axis=1) for of_one_length in each])
        return means

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


def _standardised(rows: Float32Array) -> Float32Array:
    """Rows of mean 0 and deviation 1."""
    width = rows.shape[1]
    return layer_norm(rows, np.ones(width, np.float32), np.zeros(width, np.float32), NORM_EPSILON)


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
    start = 0
    for length, same in groupby(lengths):
        stop = start + length * len(list(same))
        yield slice(start, stop), length
        start = stop


class WordPieces:
    """BERT's tokenizer: sentences to token ids, exactly as `tokenizers` does it for the file at `path`.

    That package takes 25 ms to be imported and to open such a file, a tenth of a search by sentence. It is asked for
    text that is more than printable ASCII, and for files of another build. Raises `OSError`, `KeyError` or `ValueError`
    if there is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        content, self._vocabulary = _read(path.read_bytes())
        model = content["model"]
        self._longest: int = model.get(_LONGEST, 0)
        self._is_known = (
            content.items() >= _BUILD.items()
            and model.items() >= _MODEL.items()
            and not any(_PLAIN.fullmatch(token["content"]) for token in content["added_tokens"])
        )
        # Without a known token (an emoji, nothing at all) a sentence is one unknown token: a vector, not NaN.
        self.unknown = self._vocabulary.get(UNKNOWN) or 0
        self._ids = lru_cache(maxsize=_REMEMBERED_WORDS)(self._word)

    def id(self, token: str) -> int:
        """The id of a token of the vocabulary, as "[CLS]". Raises `KeyError`."""
        if (known := self._vocabulary.get(token)) is None:
            raise KeyError(token)
        return known

    def encode(self, text: str) -> list[int]:
        """The ids of a text's tokens, however many, without special ones around them."""
        if self._is_known and _PLAIN.fullmatch(text):
            return [one for word in _WORDS.findall(text.lower()) for one in self._ids(word)]
        ids: list[int] = self._thorough.encode(text, add_special_tokens=False).ids
        return ids

    def is_whole(self, word: str) -> bool:
        """Whether a word, in lower case, is one piece of the vocabulary."""
        return self._vocabulary.get(word) is not None

    def _word(self, word: str) -> Sequence[int]:
        """The longest piece that begins the word, then the longest that goes on; unknown if one is missing."""
        ids: list[int] = []
        start = 0
        while start < len(word) <= self._longest:
            ends = range(len(word), start, -1)
            pieces = ((self._vocabulary.get("##" * bool(start) + word[start:end]), end) for end in ends)
            piece, start = next((one for one in pieces if one[0] is not None), (None, start))
            if piece is None:
                return (self.unknown,)
            ids.append(piece)
        return ids or (self.unknown,)

    @cached_property
    def _thorough(self) -> Tokenizer:
        from tokenizers import Tokenizer

        thorough = Tokenizer.from_file(str(self._path))
        thorough.no_padding()  # files of other people's ask for them
        thorough.no_truncation()
        return thorough


class Vocabulary:
    """Pieces and their ids, looked up in the text of the file: 0.02 ms each, while reading all of it takes 8."""

    def __init__(self, text: bytes) -> None:
        self._text, self._left = text, LOOKED_UP
        self._all: dict[str, int] | None = None

    def get(self, piece: str) -> int | None:
        """The id of a piece, None if there is no such piece."""
        if self._all is None and (not self._left or not _AS_WRITTEN.fullmatch(piece)):
            self._all = json.loads(self._text)
        if self._all is not None:
            return self._all.get(piece)
        self._left -= 1
        name = b'"%b":' % piece.encode()
        at = self._text.find(name)
        while at > 0 and self._text[at - 1] == ord("\\"):  # within another one
            at = self._text.find(name, at + 1)
        end = at + len(name)
        return None if at < 0 else int(self._text[end : end + LONGEST_ID].partition(b",")[0].partition(b"}")[0])


def _read(text: bytes) -> tuple[dict[str, Any], Vocabulary]:
    """A `tokenizer.json`, whose vocabulary is the last and long part."""
    start = text.find(b"{", text.find(b'"vocab"'))
    stop = text.find(b"}", start)
    while stop > 0 and not text[max(start, stop - LONGEST_ID) : stop].rstrip()[-1:].isdigit():  # within a piece
        stop = text.find(b"}", stop + 1)
    with suppress(ValueError):
        content: dict[str, Any] = json.loads(text[:start] + b"{}" + text[stop + 1 :])
        if content["model"]["vocab"] == {}:
            return content, Vocabulary(text[start : stop + 1])
    content = json.loads(text)
    return content, Vocabulary(json.dumps(content["model"]["vocab"]).encode())

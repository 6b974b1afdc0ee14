"""The tokenizers of open_clip's text towers, CLIP's own without its tables: ready in a millisecond.

The usual implementation builds dictionaries of 49 thousand entries before the first word is read. Here the merges are
one sorted array on disk and each is looked up by bisection. CLIP numbers its tokens by the order of merging (0..255 the
bytes, 256..511 the bytes at the end of a word, 512 + r what the merge of rank r makes), so that the smallest id is
always the merge to do next.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from indexer.items import Int64Array

# Byte -> id: the printable characters of Latin-1 come first, then the rest, each in order
# (`bytes_to_unicode` of GPT-2, Radford et al. 2019).
_PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_REST = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTE_IDS = {byte: rank for rank, byte in enumerate(_PRINTABLE + _REST)}
_WORD_END = 256  # id of a byte + this is the id of the byte as the last of its word
_FIRST_MERGE = 512

_SPECIALS = ("<start_of_text>", "<end_of_text>")
_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_ASCII_WORDS = re.compile("|".join([*_SPECIALS, _CONTRACTIONS, r"[a-z]+|[0-9]|[^\sa-z0-9]+"]), re.IGNORECASE)
_ANY_WORDS = "|".join([*_SPECIALS, _CONTRACTIONS, r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"])

# Text in which nothing can be mended or unescaped: printable ASCII and plain white space, no "&". For it
# the imports of ftfy and regex (80 ms together, as long as the rest of a query) are left out.
_PLAIN = re.compile(r"[\t\n -%'-~]*")

# More distinct words than most captions hold; 65 thousand entries take about 10 MB.
_REMEMBERED_WORDS = 65_536


class ClipTokenizer:
    """Sentences to token ids, exactly as open_clip's `SimpleTokenizer` does it.

    `merges` is `[m, 2]` int64, sorted by its first column: the key of a pair of ids (see `merge_table`) and
    the id of what the pair merges into. `clean` names one of `CLEANERS`.
    """

    def __init__(self, merges: Int64Array, *, clean: str = "lower") -> None:
        self._keys, self._merged = np.ascontiguousarray(merges[:, 0]), np.ascontiguousarray(merges[:, 1])
        self.start, self.end = _FIRST_MERGE + len(merges), _FIRST_MERGE + len(merges) + 1
        self._size = self.end + 1
        self._clean = CLEANERS[clean]
        self._ids = lru_cache(maxsize=_REMEMBERED_WORDS)(self._word)

    def encode(self, text: str) -> list[int]:
        """The ids of a text's tokens, however many, between those of start and end."""
        return [self.start, *(one for word in _words(self._clean(text)) for one in self._ids(word)), self.end]

    def is_whole(self, word: str) -> bool:
        """Whether a word, in lower case, is one token."""
        return len(self._ids(word)) == 1

    def _word(self, word: str) -> tuple[int, ...]:
        if word in _SPECIALS:
            return (self.start + _SPECIALS.index(word),)
        ids = [_BYTE_IDS[byte] for byte in word.encode()]
        ids[-1] += _WORD_END
        while len(ids) > 1 and (best := self._next_merge(ids)):
            ids = _merge(ids, *best)
        return tuple(ids)

    def _next_merge(self, ids: list[int]) -> tuple[int, int, int] | None:
        """The neighbours of lowest rank in a word and what they merge into; None when no pair merges."""
        pairs = np.array([left * self._size + right for left, right in pairwise(ids)])
        at = np.minimum(np.searchsorted(self._keys, pairs), len(self._keys) - 1)
        merged = np.where(self._keys[at] == pairs, self._merged[at], self._size)
        first = int(merged.argmin())
        return None if merged[first] == self._size else (ids[first], ids[first + 1], int(merged[first]))


def _merge(ids: list[int], left: int, right: int, merged: int) -> list[int]:
    """The ids with every `left, right`, from the left and without overlap, replaced by `merged`."""
    out: list[int] = []
    waiting = iter(ids)
    for one in waiting:
        if one == right and out and out[-1] == left:
            out[-1] = merged
        else:
            out.append(one)
    return out


def merge_table(ranks: Mapping[tuple[str, str], int], ids: Mapping[str, int]) -> Int64Array:
    """The merges of a byte-pair encoding as the table that `ClipTokenizer` takes, `[m, 2]` int64.

    The key of a pair is `left * size + right`, with `size` the number of all tokens.
    Raises `ValueError` if the vocabulary is not numbered as CLIP's is.
    """
    merges = list(ranks)
    size = _FIRST_MERGE + len(merges) + len(_SPECIALS)
    made = [ids["".join(merge)] for merge in merges]
    if len(ids) != size or made != list(range(_FIRST_MERGE, _FIRST_MERGE + len(merges))):
        raise ValueError("the vocabulary is not numbered in the order of its merges")
    keys = np.array([ids[left] * size + ids[right] for left, right in merges], dtype=np.int64)
    order = np.argsort(keys)
    return np.stack([keys, np.array(made, dtype=np.int64)], axis=1)[order]


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


def _words(text: str) -> Iterable[str]:
    if text.isascii():
        return _ASCII_WORDS.findall(text)
    import regex  # type: ignore[import-untyped]

    words: list[str] = regex.findall(_ANY_WORDS, text, regex.IGNORECASE)
    return words


def _mended(text: str) -> str:
    """Text as CLIP's tokenizers first see it: mangled Unicode repaired, HTML entities resolved."""
    if _PLAIN.fullmatch(text):
        return text
    import html

    import ftfy

    mended: str = ftfy.fix_text(text)
    return html.unescape(html.unescape(mended))


def _whitespace(text: str) -> str:
    return " ".join(_mended(text).split())


def _canonicalize(text: str) -> str:
    """Without punctuation and in lower case, as big_vision prepares the texts of SigLIP."""
    text = _mended(text).replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    return " ".join(text.lower().split())


# The ways of cleaning a text that open_clip's tokenizers know, by its names.
CLEANERS: dict[str, Callable[[str], str]] = {
    "lower": lambda text: _whitespace(text).lower(),
    "whitespace": _whitespace,
    "canonicalize": _canonicalize,
}

"""Everyday words for what photos show, as vectors: they say what a photo is about, and compete with labels.

The words lie beside this file, one a line: things, animals, people, places, doings and looks, written down from common
knowledge and held against the commonest words of the captions of Flickr30k and Conceptual Captions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.atomic import atomic_write
from indexer.encoders.base import Encoder, unit_rows
from indexer.items import Float32Array
from indexer.library import Library

SHIPPED = Path(__file__).with_name("vocabulary.txt")

# A word's vector is the mean over these. On Flickr8k's val photos the plain word alone is right in 26.2 % of the first
# five, both together in 26.5 %, four of this kind in 26.6 %: not worth twice the time.
TEMPLATES = ("{}", "a photo of {}")

# Where a library keeps the vectors of the shipped words: 1,900 words take 4 s with the shipped encoder and 30 s with a
# large one, and opening them a millisecond. The name is one that the indexer passes over.
CACHE = ".vocabulary.npy"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words and their unit rows `[words, dim]`."""

    words: tuple[str, ...]
    rows: Float32Array

    def __len__(self) -> int:
        return len(self.words)

    def centred(self) -> Float32Array:
        """The words as unit rows `[words, dim]` without what all of them share, which says nothing of a photo.

        Mu and Viswanath, "All-but-the-Top" (2018). What it is worth stands in `search.organise.words`.
        """
        return unit_rows(self.rows - self.rows.mean(axis=0))


def shipped_words() -> tuple[str, ...]:
    """The words that travel with Descry."""
    return tuple(SHIPPED.read_text(encoding="utf-8").splitlines())


def embed_words(encoder: Encoder, words: Sequence[str]) -> Float32Array:
    """Words or labels as unit rows `[words, dim]`: the mean of each in the sentences of `TEMPLATES`."""
    sentences = [template.format(word) for word in words for template in TEMPLATES]
    rows = encoder.embed("text", sentences).reshape(len(words), len(TEMPLATES), -1)
    return unit_rows(rows.mean(axis=1))


def vocabulary(library: Library, encoder: Encoder) -> Vocabulary:
    """The shipped words in the space of the library's encoder, kept beside the library once they are embedded."""
    words = shipped_words()
    stamp = _stamp(encoder, words)
    cache = library.path / CACHE
    rows = _kept(cache, stamp, (len(words), encoder.dimension))
    if rows is None:
        rows = embed_words(encoder, words)
        with suppress(OSError), atomic_write(cache) as new, new.open("wb") as file:  # else it takes the time again
            file.write(stamp)
            np.save(file, rows.astype(np.float16))
    return Vocabulary(words, rows)


def _kept(cache: Path, stamp: bytes, shape: tuple[int, int]) -> Float32Array | None:
    """The vectors in a file that begins with this stamp; None for no such file, or one of other words or weights."""
    with suppress(OSError, ValueError), cache.open("rb") as file:
        if file.read(len(stamp)) == stamp:
            rows = np.load(file)
            return unit_rows(rows) if rows.shape == shape else None
    return None


def _stamp(encoder: Encoder, words: Sequence[str]) -> bytes:
    """What tells the vectors of these words apart from those of other words, sentences or weights."""
    said = "\n".join([encoder.name, encoder.checksum, *TEMPLATES, *words])
    return hashlib.sha256(said.encode()).digest()


def distinct(order: Iterable[int], words: Sequence[str], *, told: Iterable[str] = ()) -> Iterator[int]:
    """The places of words in that order, but for those that share a word with an earlier one or with `told`.

    >>> list(distinct([1, 0, 2], ["dog", "black dog", "snow"]))
    [1, 2]
    """
    seen = {part for word in told for part in word.split()}
    for place in order:
        parts = set(words[place].split())
        if not parts & seen:
            seen |= parts
            yield place

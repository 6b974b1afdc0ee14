"""Everyday words for what photos show, as vectors: they say what a photo is about, and compete with labels.

The words lie beside this file, one a line: things, animals, people, places, doings and looks, written down from common
knowledge and held against the commonest words of the captions of Flickr30k and Conceptual Captions.

The nearest words are ranked by their vectors without what all words share (`Vocabulary.centred`), and of words that say
the same thing ("dog", "black dog", "dog show") only the nearest is told: of those that are, 20.6 % stand in a caption
(`python -m evaluation words`; docs/design.md has the table).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from indexer import shipped
from indexer.atomic import atomic_write
from indexer.encoders.base import Encoder, unit_rows
from indexer.errors import QueryError
from indexer.items import Float32Array
from indexer.library import Library
from search.prompt_templates import PROMPT, embed_texts

if TYPE_CHECKING:
    from search.relevance import Judge

SHIPPED = Path(__file__).with_name("vocabulary.txt")

# Where a library keeps the vectors of the shipped words: 1,900 words take 30 s with a large encoder, and opening them a
# millisecond. The name is one that the indexer passes over. Those of the shipped encoder travel with it.
CACHE = ".vocabulary.npy"

# Every so many words are rivals of what is asked (`search.relevance`): as good as all, and four times as quick.
RIVALS_EVERY = 4


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words and their unit rows `[words, dim]`."""

    words: tuple[str, ...]
    rows: Float32Array

    def __len__(self) -> int:
        return len(self.words)

    def centred(self) -> Float32Array:
        """The words as unit rows `[words, dim]` without what all of them share, which says nothing of a photo.

        Mu and Viswanath, "All-but-the-Top" (2018). What it is worth: docs/design.md.
        """
        return unit_rows(self.rows - self.rows.mean(axis=0))


def shipped_words() -> tuple[str, ...]:
    """The words that travel with Descry."""
    return tuple(SHIPPED.read_text(encoding="utf-8").splitlines())


def vocabulary(library: Library, encoder: Encoder) -> Vocabulary:
    """The shipped words in the space of the library's encoder, kept beside the library once they are embedded."""
    words = shipped_words()
    rows = _known(library)
    if rows is None:
        rows = embed_texts(encoder, words)
        with suppress(OSError):  # else it takes the time again
            library.path.mkdir(parents=True, exist_ok=True)  # of a library on a server there may be nothing here yet
            keep(library.path / CACHE, encoder.checksum, rows)
    return Vocabulary(words, rows)


def rivals(library: Library) -> Float32Array | None:
    """The words that what is asked has to beat, unit rows `[r, dim]`; None where they were never embedded."""
    rows = _known(library)
    return None if rows is None else rows[::RIVALS_EVERY]


def keep(path: Path, checksum: str, rows: Float32Array) -> None:
    """Writes the vectors `[words, dim]` of the shipped words, rounded to int8, with what tells them from others."""
    scaled = rows / np.abs(rows).max(axis=1, keepdims=True) * np.iinfo(np.int8).max
    with atomic_write(path) as new, new.open("wb") as file:
        file.write(_stamp(checksum))
        np.save(file, np.round(scaled).astype(np.int8))


def kept_beside_models() -> Path:
    """The vectors of the shipped words that travel with the shipped encoder."""
    return shipped("models", "vocabulary.npy")


def _known(library: Library) -> Float32Array | None:
    """The vectors of the shipped words in the space of the library's encoder, if they have been embedded."""
    stamp = _stamp(str(library.catalog.meta()["checksum"]))
    for path in (kept_beside_models(), library.path / CACHE):
        with suppress(OSError, ValueError), path.open("rb") as file:
            if file.read(len(stamp)) == stamp:
                rows = np.load(file)
                if rows.shape == (len(shipped_words()), library.dimension):
                    return unit_rows(rows)
    return None


@cache
def _stamp(checksum: str) -> bytes:
    """What tells the vectors of these words apart from those of other words, prompts or weights."""
    import hashlib  # late: the words alone need none

    return hashlib.sha256("\n".join([checksum, PROMPT, *shipped_words()]).encode()).digest()


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


class Word(NamedTuple):
    """A word for a photo. `score` is the cosine of the photo with the word less what all words share; `probability` is
    that with which `search WORD --relevant` would find it."""

    word: str
    score: float
    probability: float


def words_of(rows: Float32Array, vocabulary: Vocabulary, judge: Judge, *, k: int) -> list[list[Word]]:
    """At most `k` words for each photo, unit rows `[n, dim]`, the nearest first. Raises `QueryError` for a `k` of 0."""
    if k < 1:
        raise QueryError(f"{k} words cannot be found: ask for at least 1.")
    scores = rows @ vocabulary.centred().T  # (n, dim) @ (dim, words)
    cosines, to_beat = rows @ vocabulary.rows.T, judge.to_beat(rows)
    orders = np.argsort(-scores, axis=1, kind="stable").tolist()
    found = []
    for photo, order in enumerate(orders):
        places = list(islice(distinct(order, vocabulary.words), k))
        beaten = np.repeat(to_beat[photo : photo + 1], len(places), axis=0)
        asked = judge.asked(vocabulary.rows[places])
        chances = asked.probabilities(cosines[photo, places], beaten, cosines[photo])
        told = zip(places, chances, strict=True)
        found.append([Word(vocabulary.words[at], float(scores[photo, at]), float(chance)) for at, chance in told])
    return found

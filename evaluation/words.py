"""How good the words are that are said of photos: held against what people wrote in captions of the same photos."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from evaluation.datasets import Example, embed_photos
from indexer.encoders import Encoder
from indexer.items import Float32Array
from search.organise.vocabulary import Vocabulary, distinct, shipped_words
from search.prompts import embed_texts

# Endings that make other forms of a word; the rest of it has at least three letters.
ENDINGS = ("ing", "ies", "es", "s", "ed", "y", "e")

UNSAID = {"a", "of", "the", "in", "on", "with"}

K = 5

Order = Callable[[Float32Array, Vocabulary], Float32Array]


def words(encoder: Encoder, examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """For each way to rank the vocabulary: how good the first five words of each captioned photo are.

    "right" is the share of words of which the photo's captions have every part, in some form; "distinct right parts" is
    how many different ones of the captions' words a photo's five hold; "commonest word" is the share of photos that
    the most frequent word is told of, high where words are hubs.
    """
    said = [{stem(part) for caption in example.captions for part in parts(caption)} for example in examples]
    vocabulary = Vocabulary(shipped_words(), embed_texts(encoder, shipped_words()))
    photos = embed_photos(encoder, examples)
    results = {}
    for name, (scores, folded) in {
        "plain": (photos @ vocabulary.rows.T, False),
        "plain, distinct": (photos @ vocabulary.rows.T, True),
        "less the words' mean, distinct": (photos @ vocabulary.centred().T, True),
        "less the photos' mean, distinct": ((photos - photos.mean(axis=0)) @ vocabulary.centred().T, True),
        "less half the photos' mean, distinct": ((photos - photos.mean(axis=0) / 2) @ vocabulary.centred().T, True),
    }.items():
        results[name] = _judged(_first(scores, vocabulary.words, folded=folded), vocabulary.words, said)
    return results


def _first(scores: Float32Array, vocabulary: Sequence[str], *, folded: bool) -> npt.NDArray[np.intp]:
    """The places of the first `K` words of each photo, `[photos, K]`."""
    orders = np.argsort(-scores, axis=1, kind="stable")
    if not folded:
        return orders[:, :K]
    return np.array([list(islice(distinct(order, vocabulary), K)) for order in orders.tolist()])


def _judged(first: npt.NDArray[np.intp], vocabulary: Sequence[str], said: Sequence[set[str]]) -> dict[str, float]:
    stems = [{stem(part) for part in parts(word)} - UNSAID for word in vocabulary]
    right = [[stems[word] <= heard for word in row] for row, heard in zip(first, said, strict=True)]
    told = [
        len(set().union(*(stems[word] for word, is_right in zip(row, flags, strict=True) if is_right)))
        for row, flags in zip(first, right, strict=True)
    ]
    return {
        "right": float(np.mean(right)),
        "distinct right parts": float(np.mean(told)),
        "commonest word": float(np.bincount(first.ravel()).max() / len(first)),
    }


def parts(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"[a-z]+", text.lower())


def stem(word: str) -> str:
    """A word without its ending, roughly.

    >>> stem("running"), stem("runs"), stem("puppies"), stem("puppy")
    ('run', 'run', 'pupp', 'pupp')
    """
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sp" else word

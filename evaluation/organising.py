"""How good the words are that are said of photos, and the tags that they get, held against captions and labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from evaluation.classify import phrases
from evaluation.datasets import Example, embed_photos
from indexer.encoders import Encoder
from indexer.items import Float32Array, Int64Array
from search.organise.vocabulary import RIVALS_EVERY, Vocabulary, distinct, shipped_words
from search.prompt_templates import embed_texts
from search.query import STRICTNESS
from search.relevance import WITNESSES, Judge, judge_for

# words

# Endings that make other forms of a word; the rest of it has at least three letters.
ENDINGS = ("ing", "ies", "es", "s", "ed", "y", "e")

UNSAID = {"a", "of", "the", "in", "on", "with"}

K = 5


def words(encoder: Encoder, examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """For each way to rank the vocabulary: how good the first five words of each captioned photo are.

    "right" is the share of words of which the photo's captions have every part, in some form; "distinct right parts" is
    how many different ones of the captions' words a photo's five hold; "commonest word" is the share of photos that
    the most frequent word is told of, high where words are hubs.
    """
    said = [{stem(part) for caption in example.captions for part in parts(caption)} for example in examples]
    vocabulary = Vocabulary(shipped_words(), embed_texts(encoder, shipped_words()))
    photos = embed_photos(encoder, examples)
    nearest = np.argsort(-(photos @ vocabulary.rows.T), axis=1, kind="stable")
    ordered = np.argsort(-(photos @ vocabulary.centred().T), axis=1, kind="stable").tolist()
    shipped = [list(islice(distinct(order, vocabulary.words), K)) for order in ordered]
    ways = {"plain": nearest[:, :K], "less the words' mean, distinct": np.array(shipped)}
    return {way: _judged(first, vocabulary.words, said) for way, first in ways.items()}


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


# tags

# Draws of the half of the labels that is offered.
DRAWS = 20


def tagging(encoder: Encoder, examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Tags labelled photos with a random half of the labels, the mean of `DRAWS` draws, for each strictness.

    Of the photos whose label is offered, "right tag" is the share that gets it, and "best tag right" the share whose
    most probable tag it is; of the tags given, "right of all tags" is the share that is right. Of the photos whose
    label is left out, "other rightly" is the share that gets no tag.
    """
    labels = sorted({example.label for example in examples if phrases(example.label)})
    known = [example for example in examples if example.label in labels]
    truth = np.array([labels.index(example.label) for example in known])
    rows = embed_texts(encoder, [_bare(phrases(label)[0]) for label in labels])
    judge = judge_for(encoder.checksum, embed_texts(encoder, shipped_words()[::RIVALS_EVERY]))
    photos = embed_photos(encoder, known)
    to_beat = judge.to_beat(photos)
    scores = photos @ rows.T  # (n, dim) @ (dim, labels) -> (n, labels)
    asked = [judge.asked(row) for row in rows]
    told = [one.probabilities(column, to_beat, column) for one, column in zip(asked, scores.T, strict=True)]
    chances = np.stack(told, axis=1)
    draws = [np.random.default_rng(seed).permutation(len(labels))[: len(labels) // 2] for seed in range(DRAWS)]
    table = {}
    for strictness in STRICTNESS:
        given = _given(judge, scores, chances, strictness)
        measured = [_measured(given[:, offered], chances[:, offered], offered, truth) for offered in draws]
        table[strictness] = {name: float(np.mean([one[name] for one in measured])) for name in measured[0]}
    return table


def _given(
    judge: Judge, scores: Float32Array, chances: npt.NDArray[np.float64], strictness: str
) -> npt.NDArray[np.bool_]:
    """Which photos get which labels, `[n, labels]`."""
    nearest = np.argsort(-scores, axis=0, kind="stable")[:WITNESSES]
    photos = len(scores)
    sure = [judge.is_sure(chances[places, label], strictness, photos=photos) for label, places in enumerate(nearest.T)]
    given: npt.NDArray[np.bool_] = (chances >= judge.cuts[strictness].keeps) & np.array(sure)
    return given


def _bare(phrase: str) -> str:
    """A label as people write it: without its article."""
    return re.sub(r"^(an?|the) ", "", phrase)


def _measured(
    given: npt.NDArray[np.bool_], chances: npt.NDArray[np.float64], offered: Int64Array, truth: Int64Array
) -> dict[str, float]:
    """The measures of tags `given` `[photos, offered]`."""
    right = truth[:, np.newaxis] == offered
    fits, tagged = right.any(axis=1), np.asarray(given.any(axis=1))
    best = tagged & (offered[np.where(given, chances, 0).argmax(axis=1)] == truth)
    return {
        "right tag": float((given & right).sum() / fits.sum()),
        "best tag right": float(best[fits].mean()),
        "right of all tags": float((given & right).sum() / max(given.sum(), 1)),
        "other rightly": float((~tagged)[~fits].mean()),
    }

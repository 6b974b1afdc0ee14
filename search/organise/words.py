"""What a photo is about, in words of a vocabulary that ships with Descry: no labels, no captions needed.

The nearest words are ranked by their vectors without what all words share (`Vocabulary.centred`), and of words that say
the same thing ("dog", "black dog", "dog show") only the nearest is told. Measured by `python -m evaluation words`, on
Flickr8k's val photos and the words of their five captions:

                                          right    distinct right parts    commonest word
    plain                                 26.4 %          1.34                24 % of photos
    plain, distinct                       19.9 %          1.18                11 %
    less the words' mean, distinct        20.6 %          1.21                10 %   (this)
    less half the photos' mean as well    20.3 %          1.22                 6 %
    less the photos' mean as well         19.1 %          1.15                 5 %

Taking off what the photos share makes hubs rarer and the words no truer, and what is said of a photo would depend on
the others; taking off what the words share helps a little and does not. Distinct words cost figures, since five ways to
say "dog" are five right words: they are there for people.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

import numpy as np

from indexer.errors import QueryError
from indexer.items import Float32Array
from search.organise.vocabulary import Vocabulary, distinct
from search.relevance import Judge


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

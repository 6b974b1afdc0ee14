"""Search by words: what holds the words of a query, in names, texts and captions, by how much they tell.

Beside the search by meaning, which knows what a photo shows, this finds what somebody wrote: names of places and
people, file names, rare words. Both are fused by `Retrieval.fused`.

With words that few hold, the default, .525 of "dog germany" are found among the first ten instead of .107, and no fewer
of what captions ask (`python -m evaluation hybrid`; docs/design.md has the table).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain

from indexer.storage.catalog import Catalog
from indexer.storage.full_text import words_of
from search.query import Query

# Where nobody said whether words count, those do that at most so many of the items hold.
SURE_OF = 1 / 5

# The share of a question's words that have to stand in a photo for what was read there to count unasked. On 300
# photos of Flickr8k val, words read, `python -m evaluation hybrid`: a caption finds its photo first in .430, as without
# words; in .403 where one word is enough.
READ_SHARE = 1 / 2

# What stands between quotation marks, none of them an apostrophe; behind a sign, marks only hold a term together.
_QUOTED = re.compile(r"(?<![-+:\w])[\"\u201c\u201e\u00ab]\s*(\w[^\"\u201c\u201d\u00bb]*?)\s*[\"\u201c\u201d\u00bb]")


def found_by_words(catalog: Catalog, query: Query, total: int) -> dict[int, float]:
    """The ids of items that hold words of the query's sentences, each with its share of them, above 0 and at most 1.

    A word weighs `log((N - n + 1/2) / (n + 1/2))`, n of the `total` N items holding it (Robertson and Sparck Jones,
    1976; BM25 without the counting of repetitions, of which captions and names have none), times its term's weight:
    a word of what is taken away counts against an item. What more than half of the items hold tells nothing. The share
    is that of all that is asked for: beside a photo of the same weight, sentences are half of it.
    """
    weights: dict[int, float] = defaultdict(float)
    most = 0.0
    for weight, ids in _telling(catalog, query, total).values():
        telling = weight * math.log((total - len(ids) + 0.5) / (len(ids) + 0.5))
        most += max(0.0, telling)
        for id in ids:
            weights[id] += telling
    added = [(term.weight, isinstance(term.value, str)) for term in query.terms if term.weight > 0]
    in_words = sum(weight for weight, is_text in added if is_text) / sum(weight for weight, _ in added) if added else 0
    return {id: in_words * weight / most for id, weight in weights.items() if weight > 0}


def words_that_count(catalog: Catalog, query: Query, total: int) -> list[str]:
    """The words of the query that some items hold, and few enough for them to count."""
    return list(_telling(catalog, query, total))


def _telling(catalog: Catalog, query: Query, total: int) -> dict[str, tuple[float, set[int]]]:
    """The words that tell something, each with the weight of its terms and the ids of the items that hold it."""
    most = total * (SURE_OF if query.by_words is None else 1 / 2)
    weights = _weighed_words(query)
    read = _read(catalog, query, list(weights))
    held = {
        word: (weight, read[word].union(*(catalog.match_word(word, kind) for kind in query.wanted)))
        for word, weight in weights.items()
    }
    return {word: (weight, ids) for word, (weight, ids) in held.items() if 0 < len(ids) < most}


def _read(catalog: Catalog, query: Query, words: Sequence[str]) -> dict[str, set[int]]:
    """The ids of the items in which the words were read.

    Where nobody said that words count, `READ_SHARE` of the question has to stand in a photo: else that a shirt says
    "white" would place it before what is white.
    """
    read = {word: set().union(*(catalog.words.holding(word, kind) for kind in query.wanted)) for word in words}
    if query.by_words is None:
        counts = Counter(chain.from_iterable(read.values()))
        read = {word: {id for id in ids if counts[id] >= READ_SHARE * len(words)} for word, ids in read.items()}
    return read


def _weighed_words(query: Query) -> dict[str, float]:
    words: dict[str, float] = defaultdict(float)
    for term in query.terms:
        if isinstance(term.value, str):
            for word in words_of(term.value):
                words[word] += term.weight
    return words


def quoted(question: str) -> list[str]:
    """What a question quotes: perhaps text that a photo should show, which the encoder was not taught to read.

    >>> quoted('a sign that says "no parking"'), quoted("the dog's bowl"), quoted('beach -"old people"')
    (['no parking'], [], [])
    """
    return _QUOTED.findall(question)

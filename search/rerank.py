"""What happens to hits once they are found: callables `(query, hits, vectors) -> hits`, one row each in `RERANKERS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from indexer.items import Float32Array
from search.hits import Hit
from search.orders import ORDERS
from search.query import Query

Vectors = Callable[[Sequence[Hit]], Float32Array]  # the stored vectors of hits, [n, dim]

# Vectors at least so alike are nearly the same. Shipped encoder, at a cosine of 0.90 / 0.92 / 0.94: pairs of different
# photos among 8,092 that lie as near: 107 / 33 / 3; recognised of copies cropped by 5 %: 96 / 91 / 82 %, of copies at
# JPEG quality 50: 100 / 99 / 99 %. What is folded is out of sight, so different photos count more.
ALIKE = 0.94

# Between relevance alone, 1, and variety alone, 0.
BALANCE = 0.5


class Reranker(NamedTuple):
    """A step from hits to hits, for queries that ask for it; `reach` is how many hits it needs to find k."""

    asked: Callable[[Query], bool]
    rerank: Callable[[Query, Sequence[Hit], Vectors], list[Hit]]
    reach: Callable[[int], int]


def unique(_query: Query, hits: Sequence[Hit], vectors: Vectors) -> list[Hit]:
    """The hits with near-duplicates folded into the best of them, which counts them."""
    from search.diversity import fold

    return [replace(hits[group[0]], alike=len(group) - 1) for group in fold(vectors(hits), ALIKE)]


def diverse(query: Query, hits: Sequence[Hit], vectors: Vectors) -> list[Hit]:
    """The hits that are relevant and unlike those before them."""
    from search.diversity import marginal_relevance

    relevance = np.array([hit.standing for hit in hits], np.float32)
    return [hits[place] for place in marginal_relevance(relevance, vectors(hits), query.k, BALANCE)]


def sort(query: Query, hits: Sequence[Hit], _vectors: Vectors) -> list[Hit]:
    """The hits in the order that the query wishes; equal ones stay, those of which it is not known come last."""
    key, descending = ORDERS[query.sort]
    known = [hit for hit in hits if key(hit) is not None]
    unknown = [hit for hit in hits if key(hit) is None]
    return sorted(known, key=key, reverse=descending) + unknown


# Hits among which `sort` looks, of those that fit: reading them takes 15 microseconds each.
SORTED = 10_000

RERANKERS: tuple[Reranker, ...] = (
    # a photo often stands in a burst, and ten bursts should not leave a page of ten empty
    Reranker(lambda query: query.unique, unique, lambda k: max(200, 10 * k)),
    Reranker(lambda query: query.diverse, diverse, lambda k: max(50, 5 * k)),
    Reranker(lambda query: query.is_sorted, sort, lambda k: max(SORTED, k)),
)

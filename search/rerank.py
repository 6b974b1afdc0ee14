"""What happens to candidates once they are found: near-duplicates folded, variety preferred; rows of `RERANKERS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from indexer.items import Float32Array
from search.hits import Candidate
from search.query import Query

Vectors = Callable[[Sequence[int]], Float32Array]  # the stored vectors of ids, [n, dim]

# Vectors at least so alike are nearly the same. Shipped encoder, at a cosine of 0.90 / 0.92 / 0.94: pairs of different
# photos among 8,092 that lie as near: 107 / 33 / 3; recognised of copies cropped by 5 %: 96 / 91 / 82 %, of copies at
# JPEG quality 50: 100 / 99 / 99 %. What is folded is out of sight, so different photos count more.
ALIKE = 0.94

# Between relevance alone, 1, and variety alone, 0.
BALANCE = 0.5


class Reranker(NamedTuple):
    """A step from candidates to candidates, for queries that ask for it; `reach` is how many it needs to find k."""

    asked: Callable[[Query], bool]
    rerank: Callable[[Query, Sequence[Candidate], Vectors], list[Candidate]]
    reach: Callable[[int], int]


def unique(_query: Query, candidates: Sequence[Candidate], vectors: Vectors) -> list[Candidate]:
    """The candidates with near-duplicates folded into the best of them, which counts them."""
    rows = vectors([candidate.id for candidate in candidates])
    return [replace(candidates[group[0]], alike=len(group) - 1) for group in fold(rows, ALIKE)]


def diverse(query: Query, candidates: Sequence[Candidate], vectors: Vectors) -> list[Candidate]:
    """The candidates that are relevant and unlike those before them."""
    relevance = np.array([candidate.relevance for candidate in candidates], np.float32)
    rows = vectors([candidate.id for candidate in candidates])
    return [candidates[place] for place in marginal_relevance(relevance, rows, query.k, BALANCE)]


def fold(vectors: Float32Array, threshold: float) -> list[list[int]]:
    """Groups of positions of ranked unit rows `[n, dim]` that are near-duplicates of each other.

    Each row joins the first group whose *first* member lies within cosine `threshold` of it, or begins a group.
    Nothing is chained: all of a group resembles its first, which is the best hit and stands for the others. Groups
    come in the order of their first, members in the order of the ranking; the hit that is shown has
    `len(group) - 1` others like it.

    >>> fold(np.array([[1, 0], [0, 1], [0.99, 0.141]], np.float32), 0.95)
    [[0, 2], [1]]
    """
    groups: list[list[int]] = []
    firsts = np.empty_like(vectors)  # (groups so far, dim), filled from the top
    for position, row in enumerate(vectors):
        alike = np.flatnonzero(firsts[: len(groups)] @ row >= threshold)  # (groups, dim) @ (dim)
        if len(alike):
            groups[alike[0]].append(position)
        else:
            firsts[len(groups)] = row
            groups.append([position])
    return groups


def marginal_relevance(scores: Float32Array, vectors: Float32Array, k: int, balance: float) -> list[int]:
    """The positions of `k` hits at most, relevant and unlike each other, best first.

    Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): next comes the hit with the greatest
    `balance * relevance - (1 - balance) * likeness`, `likeness` being that to the most similar hit chosen before.
    `scores` `[n]` are the hits' cosines with the query, `vectors` `[n, dim]` their unit rows. Both are stretched
    to 0..1 over the hits given: cosines of a sentence with photos span a tenth where those of photos with each other
    span the half, and unstretched the latter would decide alone. With `balance` 1 only relevance counts, with 0 only
    variety (and the first is still the best). Give it several times as many hits as `k`; equal ones come in order.

    >>> rows = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    >>> marginal_relevance(np.array([0.9, 0.89, 0.8], np.float32), rows, 2, 0.5)
    [0, 2]
    """
    relevance = _stretched(scores)
    likeness = _stretched(vectors @ vectors.T)  # (n, dim) @ (dim, n) -> (n, n)
    nearest = np.zeros(len(scores), np.float32)  # likeness to the most similar of the chosen
    left = np.ones(len(scores), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < min(k, len(scores)):
        value = relevance if not chosen else balance * relevance - (1 - balance) * nearest
        best = int(np.argmax(np.where(left, value, -np.inf)))
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, likeness[best])
    return chosen


def _stretched(values: Float32Array) -> Float32Array:
    """The values scaled to 0..1; all 0 where they are all the same."""
    least, most = values.min(initial=np.inf), values.max(initial=-np.inf)
    stretched: Float32Array = (values - least) / (most - least) if most > least else np.zeros_like(values)
    return stretched


RERANKERS: tuple[Reranker, ...] = (
    # a photo often stands in a burst, and ten bursts should not leave a page of ten empty
    Reranker(lambda query: query.unique, unique, lambda k: max(200, 10 * k)),
    Reranker(lambda query: query.diverse, diverse, lambda k: max(50, 5 * k)),
)

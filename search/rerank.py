"""Vectors and rankings made one, near-duplicates folded, variety preferred: arithmetic, as pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from indexer.encoders.base import unit_rows
from indexer.items import Float32Array
from search.hits import Candidate

# What a hit pays for resembling what is taken away more than the library does in the mean: this times the excess.
# Good for words and photos alike, precision@10 .634 and .340 (subtracting: .579 and .333): docs/design.md has the
# table, by `python -m evaluation negation`.
PENALTY = 1.0

# What marked hits weigh beside the question, right and wrong ones each as their mean: precision@10 .882 -> .927 after
# three marks on four labelled sets, .921 to .925 with other weights (`python -m evaluation feedback`).
RIGHT, WRONG = 0.5, 0.25

# Below a thousandth of the terms' length, a direction is rounding.
ROUNDING = 1e-3

# Vectors at least so alike are nearly the same. Shipped encoder, at a cosine of 0.90 / 0.92 / 0.94: pairs of different
# photos among 8,092 that lie as near: 107 / 33 / 3; recognised of copies cropped by 5 %: 96 / 91 / 82 %, of copies at
# JPEG quality 50: 100 / 99 / 99 %. What is folded is out of sight, so different photos count more.
ALIKE = 0.94

# Rows that are compared with those before them at once: 1,000 candidates take half as long as one after the other.
BLOCK = 512

# Between relevance alone, 1, and variety alone, 0.
BALANCE = 0.5

Vectors = Callable[[Sequence[int]], Float32Array]  # the stored vectors of ids, [n, dim]


def unique(candidates: Sequence[Candidate], vectors: Vectors) -> list[Candidate]:
    """The candidates with near-duplicates folded into the best of them, which counts them."""
    rows = vectors([candidate.id for candidate in candidates])
    return [replace(candidates[group[0]], alike=len(group) - 1) for group in fold(rows, ALIKE)]


def diverse(candidates: Sequence[Candidate], vectors: Vectors, k: int) -> list[Candidate]:
    """`k` candidates that are relevant and unlike those before them."""
    relevance = np.array([candidate.relevance for candidate in candidates], np.float32)
    rows = vectors([candidate.id for candidate in candidates])
    return [candidates[place] for place in marginal_relevance(relevance, rows, k, BALANCE)]


def weighted(vectors: Sequence[Float32Array] | Float32Array, weights: Sequence[float]) -> Float32Array:
    """Unit vectors `[dim]`, weighed, added and renormalised, so that scores stay cosines.

    The zero vector if they cancel each other out.

    >>> weighted([np.array([1, 0], np.float32), np.array([0, 1], np.float32)], [3, 4]).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    total = np.asarray(weights, np.float32) @ np.asarray(vectors)  # (n) @ (n, dim) -> (dim)
    if np.linalg.norm(total) <= ROUNDING * np.abs(weights).sum():
        return np.zeros_like(total)
    return unit_rows(total)


def rocchio(row: Float32Array, right: Float32Array, wrong: Float32Array) -> Float32Array:
    """A question `[dim]` drawn to what was marked as right, `[r, dim]`, and away from what was wrong, `[w, dim]`.

    Rocchio, "Relevance feedback in information retrieval" (1971); unit rows in and out.

    >>> rocchio(np.array([1, 0], np.float32), np.array([[0, 1]], np.float32), np.empty((0, 2), np.float32)).round(2)
    array([0.89, 0.45], dtype=float32)
    """
    drawn = row + RIGHT * weighted(right, [1] * len(right)) - WRONG * weighted(wrong, [1] * len(wrong))
    return weighted([drawn], [1])


def penalties(cosines: Float32Array, means: Float32Array, weights: Sequence[float]) -> Float32Array:
    """What items pay for resembling what is taken away: `[n]`, 0 or more.

    `cosines` `[n, t]` are those of items with the terms taken away, `means` `[t]` those of the library's items,
    `weights` `[t]` how much each term counts.

    >>> penalties(np.array([[0.5], [0.1]], np.float32), np.array([0.25], np.float32), [2.0]).tolist()
    [0.5, 0.0]
    """
    excess = np.maximum(0, cosines - means)  # (n, t)
    paid: Float32Array = PENALTY * excess @ np.asarray(weights, np.float32)  # (n, t) @ (t) -> (n)
    return paid


def fold(vectors: Float32Array, threshold: float) -> list[list[int]]:
    """Groups of positions of ranked unit rows `[n, dim]` that are near-duplicates of each other.

    Each row joins the first group whose *first* member lies within cosine `threshold` of it, or begins a group.
    Nothing is chained: all of a group resembles its first, which is the best hit and stands for the others. Groups
    come in the order of their first, members in the order of the ranking; the hit that is shown has
    `len(group) - 1` others like it.

    >>> fold(np.array([[1, 0], [0, 1], [0.99, 0.141]], np.float32), 0.95)
    [[0, 2], [1]]
    """
    groups: dict[int, list[int]] = {}  # by the position of their first
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        alike = np.tril(block @ vectors[: start + len(block)].T >= threshold, start - 1)  # to those before them
        for position, has_some in enumerate(np.asarray(alike.any(axis=1)), start):
            before = np.flatnonzero(alike[position - start]).tolist() if has_some else []
            first = next((other for other in before if other in groups), position)
            groups.setdefault(first, []).append(position)
    return list(groups.values())


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

"""Several vectors or rankings made one, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from indexer.encoders.base import unit_rows
from indexer.items import Float32Array

# What a hit pays for resembling what is taken away more than the library does in the mean: this times the excess.
# `python -m evaluation negation` on Flickr8k, all pairs "A without B" of things that its captions name often enough;
# ways and strengths chosen on val (405 pairs), measured on test (356), shipped encoder. Means of precision@10, share of
# B among the first 10, recall@50, for A a word and A a photo that shows A and B:
#                                                  "dog -grass"          photo of a dog on grass -grass
#   B ignored                                   .593   .210   .545         .283   .448   .288
#   A - B, what others do and Descry did        .579   .099   .501         .333   .224   .314
#   A - 0.5 B                                   .626   .137   .550         .323   .331   .313
#   B projected out of A                        .624   .180   .551         .303   .409   .300
#   A turned until its cosine with B is -0.35   .629   .137   .550         .329   .317   .317
#   cos A - max(0, cos B - its mean)            .634   .133   .553         .340   .291   .323
# Taking away helps. Subtracting wants twice the strength for photos that it wants for words, and at full strength
# finds less than ignoring B; the penalty is good for both as it is, and leaves the score the cosine with A.
PENALTY = 1.0

# What marked hits weigh beside the question, the right ones and the wrong ones each as their mean. Precision@10 among
# the photos not marked, once the first three are, over 101 names with more than twelve photos among 3,629 of four
# labelled sets: .882 without marks; with .5 and .25 .927, 1 and .25 .925, .75 and .15 .921, 2 and .5 .923. On vectors
# less their mean, or with standardised cosines instead, it is .921 to .927. By `python -m evaluation feedback`,
# caltech101 .934 and .952 (better for 12 of 101 names, worse for 3), grocery .551 and .609 (38 and 17 of 81).
RIGHT, WRONG = 0.5, 0.25

# Cormack, Clarke and Buettcher (SIGIR 2009) found little difference between constants around this one.
RECIPROCAL_RANK_CONSTANT = 60

# Below a thousandth of the terms' length, a direction is rounding.
ROUNDING = 1e-3


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


def ranks_of(scores: Mapping[int, float]) -> dict[int, int]:
    """Each one's rank, from 1 for the greatest score; equal ones share the better rank.

    >>> ranks_of({7: 0.5, 8: 0.9, 9: 0.5})
    {8: 1, 7: 2, 9: 2}
    """
    ranks: dict[int, int] = {}
    before = None
    for place, (id, score) in enumerate(sorted(scores.items(), key=lambda pair: -pair[1]), start=1):
        ranks[id] = ranks[before] if before is not None and scores[before] == score else place
        before = id
    return ranks


def reciprocal_rank(rankings: Sequence[Mapping[int, int]]) -> dict[int, float]:
    """Rankings of different kinds as one, best first: each gives `1 / (60 + rank)` to what it ranks.

    Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009). Scores that cannot be compared need not be.

    >>> list(reciprocal_rank([{1: 1, 2: 2, 3: 3}, {3: 1, 4: 2}]))
    [3, 1, 2, 4]
    """
    fused: dict[int, float] = {}
    for ranks in rankings:
        for id, rank in ranks.items():
            fused[id] = fused.get(id, 0.0) + 1 / (RECIPROCAL_RANK_CONSTANT + rank)
    return dict(sorted(fused.items(), key=lambda pair: -pair[1]))

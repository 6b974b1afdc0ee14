"""From a query's vectors to the ids that may answer it: the nearest, those that fit, those that words find too."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from indexer.items import Allowed, Float32Array, Int64Array
from search.hits import Candidate
from search.rerank import Vectors, penalties

if TYPE_CHECKING:
    from indexer.nearest.index import VectorIndex
    from search.query import Query
    from search.relevance import Judge

# What all words of a question in a name or caption are worth, in standard deviations of the question's cosines with the
# library; docs/design.md, "Search by words".
WORDS = 6.0

# Where all cosines are equal words decide.
LEAST_SPREAD = 0.001

# Hits from which those are chosen that do not resemble what is taken away.
WEIGHED = 1000

# Candidates among which an order other than relevance is looked for, of those that fit.
SORTED = 10_000

# Hits that are looked at once more together with the question: a second of a core each, and more are seldom in sight.
RERANKED = 100

# Candidates of which near-duplicates are folded, or variety is chosen, at least and for each hit: a photo often stands
# in a burst, and ten bursts should not leave a page of ten empty.
UNIQUE, DIVERSE = (200, 10), (50, 5)


class Together(tuple[Allowed, ...]):
    """What may be found of each of several modalities."""


def together(allowed: Sequence[Allowed]) -> Allowed:
    """What may be found of one modality, or of several."""
    return allowed[0] if len(allowed) == 1 else Together(allowed)


class JoinedIndex:
    """Indexes of several modalities of one tower, searched as one. A `VectorIndex` to those who ask.

    `others` are all but the first, each with the ids `[n]` that it holds: what is in none of them is in the first.
    """

    def __init__(self, first: VectorIndex, others: Sequence[tuple[VectorIndex, Int64Array]]) -> None:
        self._indexes = [first, *(index for index, _ in others)]
        self._held = [ids for _, ids in others]

    def __len__(self) -> int:
        return sum(map(len, self._indexes))

    def search(
        self, queries: Float32Array, k: int, *, allowed: Allowed | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """The `k` nearest of each query row, as `VectorIndex.search` has them; `allowed` are ids, or `Together`."""
        shares = self._shares(allowed)
        found = [index.search(queries, k, allowed=share) for index, share in zip(self._indexes, shares, strict=True)]
        scores, ids = (np.hstack(pair) for pair in zip(*found, strict=True))  # [q, k * indexes] each
        order = np.lexsort((ids, -scores))[:, :k]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)

    def _shares(self, allowed: Allowed | None) -> Sequence[Allowed | None]:
        if allowed is None:
            return [None] * len(self._indexes)
        if isinstance(allowed, Together):
            return allowed
        there = [np.isin(allowed, ids) for ids in self._held]
        rest = ~np.logical_or.reduce(there)
        return [allowed[rest], *(allowed[own] for own in there)]

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all, from each index by its size."""
        shares = [max(1, round(count * len(index) / len(self))) for index in self._indexes]
        return np.concatenate([index.sample(share) for index, share in zip(self._indexes, shares, strict=True)])


def reach_of(query: Query) -> int:
    """How many candidates are needed for the hits of a query."""
    steps = [step for step, asked in ((UNIQUE, query.unique), (DIVERSE, query.diverse)) if asked]
    return max(
        query.k,
        RERANKED * bool(query.rerank),
        SORTED * query.is_sorted,
        *(max(least, each * query.k) for least, each in steps),
    )


class Retrieval:
    """What an index holds for one query. `rows` `[r, dim]` are its vectors, an item's score being its greatest cosine.

    `allowed` is what may be found, as of `Library.allowed`, None for all; the ids in `own` may not.
    """

    def __init__(
        self, index: VectorIndex | JoinedIndex, rows: Float32Array, allowed: Allowed | None, own: Collection[int]
    ) -> None:
        self._index = index
        self._rows = rows
        self._allowed = allowed
        self._own = own

    def nearest(self, reach: int) -> list[Candidate]:
        """The `reach` nearest, best first, equal ones in the order of their ids."""
        return self._search(min(reach + len(self._own), len(self._index)), self._allowed)[:reach]

    def _search(self, k: int, allowed: Allowed | None) -> list[Candidate]:
        if not k:
            return []
        scores, ids = (array.ravel() for array in self._index.search(self._rows, k, allowed=allowed))
        best: dict[int, float] = {}
        for place in np.lexsort((ids, -scores)):  # several rows' answers as one ranking
            id = int(ids[place])
            if id >= 0 and id not in self._own:
                best.setdefault(id, float(scores[place]))
        return [Candidate(id, score) for id, score in list(best.items())[:k]]

    def without(
        self, candidates: Sequence[Candidate], taken: Float32Array, weights: Sequence[float], sample: Float32Array
    ) -> list[Candidate]:
        """Those that do not resemble what is taken away first; the others pay a penalty, see `rerank.penalties`.

        `taken` `[t, dim]` are the terms taken away, `sample` `[m, dim]` stands for the library.
        """
        place = {candidate.id: number for number, candidate in enumerate(candidates)}
        scores, ids = self._index.search(taken, len(place), allowed=np.array(list(place), np.int64))
        cosines = np.empty((len(place), len(taken)), np.float32)
        for term, (row, found) in enumerate(zip(scores, ids, strict=True)):
            cosines[[place[int(id)] for id in found], term] = row
        means = (sample @ taken.T).mean(axis=0)  # (m, dim) @ (dim, t) -> (t)
        paid = penalties(cosines, means, weights)
        weighed = [replace(one, penalty=float(penalty)) for one, penalty in zip(candidates, paid, strict=True)]
        return sorted(weighed, key=lambda candidate: -candidate.relevance)

    def fitting(
        self, candidates: Sequence[Candidate], judge: Judge, strictness: str, sample: Float32Array, vectors: Vectors
    ) -> list[Candidate]:
        """Those that fit the query, with the probability that they do; `sample` `[m, dim]` stands for the library."""
        from search.relevance import WITNESSES  # late: most questions are not cut

        background = self._background(sample)

        def judged(found: Sequence[Candidate]) -> list[float]:
            rows = vectors([candidate.id for candidate in found])
            cosines = rows @ self._rows.T  # (n, dim) @ (dim, r) -> (n, r)
            penalties = np.array([candidate.penalty or 0.0 for candidate in found], np.float32)
            asked = judge.asked(self._rows[cosines.argmax(axis=1)]) if len(self._rows) else judge
            scores = cosines.max(axis=1, initial=-1) - penalties
            chances = asked.probabilities(scores, judge.to_beat(rows), background)
            return [float(chance) for chance in chances]

        nearest = self._search(min(WITNESSES + len(self._own), len(self._index)), None)  # filters let through or not
        if not judge.is_sure(judged(nearest), strictness, photos=len(self._index)):
            return []
        return [
            replace(candidate, probability=chance)
            for candidate, chance in zip(candidates, judged(candidates), strict=True)
            if chance >= judge.cuts[strictness].keeps
        ]

    def fused(
        self, candidates: Sequence[Candidate], held: Mapping[int, float], sample: Float32Array
    ) -> list[Candidate]:
        """Those that meaning and those that words have found, `held` being the share of the words that each holds.

        A convex combination, which ranks better than reciprocal ranks do (Bruch, Gai and Ingber, "An Analysis of Fusion
        Functions for Hybrid Retrieval", 2023); `sample` `[m, dim]`, which stands for the library, tells what a cosine
        is worth.
        """
        known = {candidate.id: candidate for candidate in candidates}
        unseen = np.array([id for id in held if id not in known and id not in self._own], np.int64)
        known |= {candidate.id: candidate for candidate in self._search(len(unseen), unseen)}
        worth = WORDS * max(float(self._background(sample).std()), LEAST_SPREAD)
        fused = [replace(one, rank_score=one.relevance + worth * held.get(one.id, 0.0)) for one in known.values()]
        return sorted(fused, key=lambda candidate: (-candidate.relevance, candidate.id))

    def _background(self, sample: Float32Array) -> Float32Array:
        """The scores `[m]` of rows `[m, dim]` that stand for the library."""
        scores: Float32Array = (sample @ self._rows.T).max(axis=1, initial=-1)  # (m, dim) @ (dim, r) -> (m)
        return scores

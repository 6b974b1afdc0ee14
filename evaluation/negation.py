"""Taking things away: which arithmetic of "dog -grass" finds dogs, and fewest of them on grass.

The questions are pairs of things from `named_things.toml`; the truth is what people wrote: a photo fits "dog -grass"
if one of its captions names a dog and none names grass.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evaluation.datasets import DataError, Example
from evaluation.found import HERE
from indexer.encoders.base import unit_rows
from indexer.items import Float32Array
from search.rerank import penalties, weighted

BoolArray = npt.NDArray[np.bool_]

# A pair is asked about if so many photos show A without B, and so many A with B: else there is nothing to tell apart.
FITTING, UNWANTED = 10, 10

FIRST, DEEP = 10, 50
MEASURES = (f"P@{FIRST}", f"B@{FIRST}", f"R@{DEEP}")

# The number of no photo.
NOBODY = -1


class Way(NamedTuple):
    """Scores `[n]` of photos `[n, dim]` for A without B, given their unit vectors `[dim]` and a strength."""

    scores: Callable[[Float32Array, Float32Array, Float32Array, float], Float32Array]
    strengths: Sequence[float]


def _subtracted(a: Float32Array, b: Float32Array, photos: Float32Array, strength: float) -> Float32Array:
    return photos @ weighted([a, b], [1.0, -strength])


def _projected_out(a: Float32Array, b: Float32Array, photos: Float32Array, strength: float) -> Float32Array:
    return photos @ unit_rows(a - strength * (a @ b) * b)


def _turned_away(a: Float32Array, b: Float32Array, photos: Float32Array, strength: float) -> Float32Array:
    """Projected out, and on until the cosine of the query with B is minus the strength."""
    return photos @ unit_rows(a - (a @ b + strength) * b)


def _penalised(a: Float32Array, b: Float32Array, photos: Float32Array, strength: float) -> Float32Array:
    cosines = (photos @ b)[:, np.newaxis]
    return photos @ a - penalties(cosines, cosines.mean(axis=0), [strength])


WAYS: dict[str, Way] = {
    "B ignored": Way(_subtracted, (0.0,)),
    "subtracted": Way(_subtracted, (0.25, 0.5, 0.75, 1.0)),
    "projected out": Way(_projected_out, (0.5, 1.0)),
    "turned away": Way(_turned_away, (0.25, 0.35, 0.45)),
    "penalised": Way(_penalised, (0.5, 1.0, 1.5)),
}

# Photos of A and B, of each pair, from which "like this, without B" is asked.
STARTS = 3


class Pair(NamedTuple):
    """A question: photos that show A and not B, among those that show A."""

    a: str
    b: str
    fitting: BoolArray
    unwanted: BoolArray


def negation(
    embed_words: Callable[[Sequence[str]], Float32Array], photos: Float32Array, examples: Sequence[Example]
) -> dict[str, Any]:
    """Each way and strength over all pairs: precision@10, the share of B among the first 10, recall@50, in means.

    A is a word in the first table, a photo that shows A and B in the second.
    """
    shown = naming(examples)
    pairs = pairs_of(shown)
    if not pairs:
        raise DataError("No two things are often enough seen together and apart in these photos: take more of them.")
    vectors = dict(zip(shown, embed_words(list(shown)), strict=True))
    words = [(pair, vectors[pair.a], NOBODY) for pair in pairs]
    starts = [(pair, photos[start], int(start)) for pair in pairs for start in np.flatnonzero(pair.unwanted)[:STARTS]]
    table: dict[str, Any] = {"pairs": len(pairs)}
    for kind, questions in (("word - B", words), ("photo - B", starts)):
        for name, way in WAYS.items():
            for strength in way.strengths:
                measured = []
                for pair, a, itself in questions:
                    scores = way.scores(a, vectors[pair.b], photos, strength)
                    measured.append(measure(scores, pair, shown[pair.b], itself))
                means = map(float, np.mean(measured, axis=0))
                table[f"{kind}: {name} {strength:g}"] = dict(zip(MEASURES, means, strict=True))
    return table


def naming(examples: Sequence[Example]) -> dict[str, BoolArray]:
    """Which photos' captions name each thing, `[photos]`."""
    things: Mapping[str, list[str]] = tomllib.loads((HERE / "named_things.toml").read_text(encoding="utf-8"))
    words = [set(re.findall(r"[a-z]+", " ".join(example.captions).lower())) for example in examples]
    return {thing: np.array([bool(said & set(names)) for said in words]) for thing, names in things.items()}


def pairs_of(shown: Mapping[str, BoolArray]) -> list[Pair]:
    """The pairs of things that are seen together and apart often enough."""
    pairs = [Pair(a, b, shown[a] & ~shown[b], shown[a] & shown[b]) for a, b in permutations(shown, 2)]
    return [pair for pair in pairs if pair.fitting.sum() >= FITTING and pair.unwanted.sum() >= UNWANTED]


def measure(scores: Float32Array, pair: Pair, shows_b: BoolArray, itself: int) -> tuple[float, float, float]:
    """Precision of the first 10, the share of them that shows B, and recall of the first 50; `itself` is left out."""
    order = np.argsort(-scores, kind="stable")
    order = order[order != itself]
    fitting = pair.fitting[order]
    return (
        float(fitting[:FIRST].mean()),
        float(shows_b[order][:FIRST].mean()),
        float(fitting[:DEEP].sum() / min(DEEP, pair.fitting.sum())),
    )

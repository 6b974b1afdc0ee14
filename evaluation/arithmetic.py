"""The arithmetic of questions: what taking something away finds, and what marking hits as right and wrong is worth.

"dog -grass" is to find dogs, and fewest of them on grass. Its questions are pairs of things from `named_things.toml`;
the truth is what people wrote: a photo fits if one of its captions names a dog and none names grass.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evaluation.classify import class_vectors, phrases
from evaluation.datasets import DataError, Example, embed_photos
from evaluation.questions import HERE
from indexer.encoders import Encoder
from indexer.items import Float32Array, Int64Array
from search.rerank import penalties, rocchio, weighted

BoolArray = npt.NDArray[np.bool_]

# A pair is asked about if so many photos show A without B, and so many A with B: else there is nothing to tell apart.
FITTING, UNWANTED = 10, 10

FIRST, DEEP = 10, 50
MEASURES = (f"P@{FIRST}", f"B@{FIRST}", f"R@{DEEP}")

# The number of no photo.
NOBODY = -1


def _penalised(a: Float32Array, b: Float32Array, photos: Float32Array) -> Float32Array:
    cosines = (photos @ b)[:, np.newaxis]
    return photos @ a - penalties(cosines, cosines.mean(axis=0), [1.0])


# Scores `[n]` of photos `[n, dim]` for A without B, given their unit vectors `[dim]`; others were tried, see PENALTY.
WAYS: dict[str, Callable[[Float32Array, Float32Array, Float32Array], Float32Array]] = {
    "B ignored": lambda a, _b, photos: photos @ a,
    "subtracted": lambda a, b, photos: photos @ weighted([a, b], [1.0, -1.0]),
    "penalised": _penalised,
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
    """Each way over all pairs: precision@10, the share of B among the first 10, recall@50, in means.

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
            measured = [
                measure(way(a, vectors[pair.b], photos), pair, shown[pair.b], itself) for pair, a, itself in questions
            ]
            table[f"{kind}: {name}"] = dict(zip(MEASURES, map(float, np.mean(measured, axis=0)), strict=True))
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


# marks

# The first hits, which are marked, and those behind them that are counted.
MARKED, COUNTED = 3, 10


def feedback(encoder: Encoder, examples: Sequence[Example]) -> dict[str, float]:
    """Precision@10 among the photos not marked, for the name of each class with enough photos; nothing is fitted."""
    photos = embed_photos(encoder, examples)
    labels = [example.label for example in examples]
    names = sorted({label for label in labels if labels.count(label) >= MARKED + COUNTED and phrases(label)})
    truth = np.array([[label == name for label in labels] for name in names])
    pairs = [precisions(photos, row, right) for row, right in zip(class_vectors(encoder, names), truth, strict=True)]
    before, after = np.array(pairs).reshape(-1, 2).T
    return {
        "names": float(len(names)),
        "precision@10": float(before.mean()),
        "precision@10 marked": float(after.mean()),
        "better for": float((after > before).sum()),
        "worse for": float((after < before).sum()),
    }


def precisions(photos: Float32Array, row: Float32Array, right: np.ndarray) -> tuple[float, float]:
    """Precision@10 of a question `[dim]` behind its first three hits, as it is and once they are marked.

    `photos` `[n, dim]` are unit rows, `right` `[n]` says which photos are.
    """
    shown = _first(photos @ row, MARKED)
    left = np.setdiff1d(np.arange(len(photos)), shown)
    marked = rocchio(row, photos[shown[right[shown]]], photos[shown[~right[shown]]])
    before, after = (float(right[left[_first(photos[left] @ asked, COUNTED)]].mean()) for asked in (row, marked))
    return before, after


def _first(scores: Float32Array, count: int) -> Int64Array:
    return np.argsort(-scores, kind="stable")[:count]

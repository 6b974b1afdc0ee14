"""What marks are worth: how many of the next ten photos are right, before and after the first three were marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.class_names import phrases
from evaluation.classify import class_vectors
from evaluation.datasets import Example, embed_photos
from indexer.encoders import Encoder
from indexer.items import Float32Array, Int64Array
from search.rerank import rocchio

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

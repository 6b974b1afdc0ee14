"""Zero-shot classification: a photo belongs to the class whose name is nearest; no classifier is fitted.

A class's name becomes what people would say before an encoder reads it.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from evaluation.datasets import Example, embed_photos
from evaluation.metrics import FloatArray, precision_recall_f1, top_k_accuracy
from indexer.encoders import Encoder, unit_rows
from indexer.items import Float32Array, Int64Array

MEASURES = ("precision", "recall", "F1")

# Phrases in sentences: the plain phrase first, then the ways captions begin. Zero-shot classification averages the
# vectors of all of them, as CLIP does with its eighty.
TEMPLATES = (
    "{}",
    "a photo of {}",
    "a picture of {}",
    "a close-up of {}",
    "a photo of {} on a plain background",
)


@cache
def _spoken() -> dict[str, list[str]]:
    table: dict[str, list[str]] = tomllib.loads(
        Path(__file__).with_name("class_names.toml").read_text(encoding="utf-8")
    )
    return table


def phrases(label: str) -> list[str]:
    """The phrases for a label, the best first; none if the label says nothing that can be seen.

    >>> phrases("car_side")
    ['a car from the side', 'a car', 'a parked car']
    >>> phrases("Egyptian cat")
    ['an Egyptian cat']
    """
    spoken = _spoken()
    if label in spoken:
        return list(spoken[label])
    return [with_article(synonym.strip().replace("_", " ")) for synonym in label.split(",")]


def with_article(name: str) -> str:
    """A noun with its indefinite article, chosen by the first letter.

    >>> with_article("abacus")
    'an abacus'
    """
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


@dataclass(frozen=True)
class Classification:
    """Similarities `[photos, classes]` of labelled photos to class names, and the true classes `[photos]`."""

    classes: tuple[str, ...]
    truth: Int64Array
    similarity: Float32Array

    def _each(self) -> tuple[FloatArray, Int64Array]:
        """Precision, recall and F1 of each class `[classes, 3]`, and how many photos it has."""
        counts = np.bincount(self.truth, minlength=len(self.classes))
        return precision_recall_f1(self.truth, self.predicted, len(self.classes)), counts

    def measures(self) -> dict[str, float]:
        """Top-1 and top-5, and precision, recall and F1 averaged over classes (macro) and over photos (weighted)."""
        each, counts = self._each()
        here = counts > 0
        table = {
            "photos": float(len(self.truth)),
            "classes": float(here.sum()),
            "top-1": top_k_accuracy(self.similarity, self.truth, 1),
            "top-5": top_k_accuracy(self.similarity, self.truth, 5),
        }
        for column, name in enumerate(MEASURES):
            table[f"macro {name}"] = float(each[here, column].mean())
            table[f"weighted {name}"] = float(np.average(each[:, column], weights=counts))
        return table

    def per_class(self) -> dict[str, dict[str, float]]:
        """Precision, recall and F1 of each class that has photos, and how many."""
        each, counts = self._each()
        return {
            self.classes[place]: {
                **dict(zip(MEASURES, map(float, each[place]), strict=True)),
                "photos": float(counts[place]),
            }
            for place in np.flatnonzero(counts)
        }

    @property
    def predicted(self) -> Int64Array:
        """The nearest class of each photo."""
        nearest: Int64Array = self.similarity.argmax(axis=1)
        return nearest

    def confusions(self, count: int = 5) -> list[tuple[str, str, int]]:
        """The classes most often taken for each other: (true, predicted, how often)."""
        pairs = Counter((int(t), int(p)) for t, p in zip(self.truth, self.predicted, strict=True) if t != p)
        return [(self.classes[t], self.classes[p], number) for (t, p), number in pairs.most_common(count)]


def classify(encoder: Encoder, examples: Sequence[Example], classes: Sequence[str]) -> Classification:
    """Classifies labelled photos among the classes whose names say something; photos of other classes are left out."""
    named = tuple(label for label in classes if phrases(label))
    known = [example for example in examples if example.label in named]
    photos = embed_photos(encoder, known)
    truth = np.array([named.index(example.label) for example in known], dtype=np.int64)
    return Classification(named, truth, photos @ class_vectors(encoder, named).T)


def class_vectors(encoder: Encoder, classes: Sequence[str]) -> Float32Array:
    """A unit row for each class `[classes, dim]`: the mean over the templates of its first phrase."""
    sentences = [template.format(phrases(label)[0]) for label in classes for template in TEMPLATES]
    rows = encoder.embed("text", sentences).reshape(len(classes), len(TEMPLATES), -1)
    return unit_rows(rows.mean(axis=1))

"""Zero-shot classification: a photo belongs to the class whose name is nearest; no classifier is fitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.class_names import TEMPLATES, phrases
from evaluation.datasets import Example, embed_photos
from evaluation.metrics import precision_recall_f1, top_k_accuracy
from indexer.encoders import Encoder, unit_rows
from indexer.items import Float32Array, Int64Array


@dataclass(frozen=True)
class Classification:
    """Similarities `[photos, classes]` of labelled photos to class names, and the true classes `[photos]`."""

    classes: tuple[str, ...]
    truth: Int64Array
    similarity: Float32Array

    def measures(self) -> dict[str, float]:
        """Top-1 and top-5, and precision, recall and F1 averaged over classes (macro) and over photos (weighted)."""
        each = precision_recall_f1(self.truth, self.predicted, len(self.classes))
        counts = np.bincount(self.truth, minlength=len(self.classes))
        here = counts > 0
        table = {
            "photos": float(len(self.truth)),
            "classes": float(here.sum()),
            "top-1": top_k_accuracy(self.similarity, self.truth, 1),
            "top-5": top_k_accuracy(self.similarity, self.truth, 5),
        }
        for column, name in enumerate(("precision", "recall", "F1")):
            table[f"macro {name}"] = float(each[here, column].mean())
            table[f"weighted {name}"] = float(np.average(each[:, column], weights=counts))
        return table

    def per_class(self) -> dict[str, dict[str, float]]:
        """Precision, recall and F1 of each class that has photos, and how many."""
        each = precision_recall_f1(self.truth, self.predicted, len(self.classes))
        counts = np.bincount(self.truth, minlength=len(self.classes))
        return {
            self.classes[place]: {
                **dict(zip(("precision", "recall", "F1"), map(float, each[place]), strict=True)),
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

"""How good a model is on photos that it does not learn from: recall where they have captions, top-1 where labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.classify import TEMPLATES, phrases
from evaluation.datasets import Example
from evaluation.metrics import first_rank_by_similarity, recall_at, top_k_accuracy
from indexer.encoders.base import unit_rows
from indexer.items import Float32Array, Int64Array

EmbedSentences = Callable[[Sequence[str]], Float32Array]

WAYS = ("text_to_image", "image_to_text")


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """One set; `prefix` goes before the names of its measures where there are several."""

    examples: Sequence[Example]
    prefix: str = ""

    def measure(self, photos: Float32Array, embed: EmbedSentences) -> dict[str, float]:
        """Measures in percent by name, from the photos' unit rows `[n, dim]`; `score` is the one to choose by."""
        captioned = any(example.captions for example in self.examples)
        table = (self._recalls if captioned else self._accuracy)(photos, embed)
        return {f"{self.prefix}{name}": value for name, value in table.items()}

    def _recalls(self, photos: Float32Array, embed: EmbedSentences) -> dict[str, float]:
        captions, owners = said(self.examples)
        table = recalls(embed(captions) @ photos.T, owners)
        return {**table, "score": mean_recall(table)}

    def _accuracy(self, photos: Float32Array, embed: EmbedSentences) -> dict[str, float]:
        classes = sorted({example.label for example in self.examples})
        sentences = [template.format(phrases(label)[0]) for label in classes for template in TEMPLATES]
        rows = embed(sentences).reshape(len(classes), len(TEMPLATES), -1).mean(axis=1)
        truth = np.array([classes.index(example.label) for example in self.examples])
        top = 100 * top_k_accuracy(photos @ unit_rows(rows).T, truth, 1)
        return {"top_1": top, "score": top}


def overall(measures: Sequence[dict[str, float]]) -> dict[str, float]:
    """The measures of several sets together; their `score` is the mean of the sets' own."""
    together = {name: value for table in measures for name, value in table.items() if not name.endswith("score")}
    scores = [value for table in measures for name, value in table.items() if name.endswith("score")]
    return {**together, "score": float(np.mean(scores))}


def said(examples: Sequence[Example]) -> tuple[list[str], Int64Array]:
    """All captions of examples, and the example of each, `[captions]`."""
    owners = np.repeat(np.arange(len(examples)), [len(example.captions) for example in examples])
    return [caption for example in examples for caption in example.captions], owners


def recalls(similarity: Float32Array, owners: Int64Array) -> dict[str, float]:
    """R@1/5/10 in percent of sentences looking for their photo, then of photos looking for any of theirs.

    `similarity` `[sentences, photos]`, `owners` `[sentences]` the photo of each sentence.
    """
    right = owners[:, None] == np.arange(similarity.shape[1])[None, :]
    ranks = first_rank_by_similarity(similarity, right), first_rank_by_similarity(similarity.T, right.T)
    return {f"{way}_r{k}": 100 * recall_at(own, k) for way, own in zip(WAYS, ranks, strict=True) for k in (1, 5, 10)}


def mean_recall(table: dict[str, float]) -> float:
    """The mean of the six recalls, by which settings are usually chosen on Flickr8k and its kin."""
    return sum(table.values()) / len(table)


def in_words(table: dict[str, float]) -> str:
    """The six recalls on one line.

    >>> in_words({"text_to_image_r1": 1.0, "text_to_image_r5": 2.0, "text_to_image_r10": 3.25,
    ...           "image_to_text_r1": 4.0, "image_to_text_r5": 5.0, "image_to_text_r10": 6.0})
    'text->image R@1/5/10 1.0 / 2.0 / 3.2, image->text 4.0 / 5.0 / 6.0'
    """
    shown = [f"{value:.1f}" for value in table.values()]
    return f"text->image R@1/5/10 {' / '.join(shown[:3])}, image->text {' / '.join(shown[3:])}"

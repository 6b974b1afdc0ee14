"""How good a model is on photos that it does not learn from: recall where they have captions, top-1 where labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.class_names import TEMPLATES, phrases
from evaluation.datasets import Example
from evaluation.metrics import top_k_accuracy
from evaluation.retrieval import retrieval
from indexer.encoders.base import unit_rows
from indexer.items import Float32Array

EmbedPhotos = Callable[[Sequence[int]], Float32Array]
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
        return {f"{self.prefix}{name}": 100 * value for name, value in table.items()}

    def _recalls(self, photos: Float32Array, embed: EmbedSentences) -> dict[str, float]:
        said = [example.captions for example in self.examples]
        owners = np.repeat(np.arange(len(said)), [len(captions) for captions in said])
        table = retrieval(photos, embed([caption for captions in said for caption in captions]), owners)
        recalls = {f"{way}_r{k}": table[way][f"R@{k}"] for way in WAYS for k in (1, 5, 10)}
        # The mean of all six, as is usual: R@10 alone is soon full on small sets.
        return {**recalls, "score": float(np.mean(list(recalls.values())))}

    def _accuracy(self, photos: Float32Array, embed: EmbedSentences) -> dict[str, float]:
        classes = sorted({example.label for example in self.examples})
        sentences = [template.format(phrases(label)[0]) for label in classes for template in TEMPLATES]
        rows = embed(sentences).reshape(len(classes), len(TEMPLATES), -1).mean(axis=1)
        truth = np.array([classes.index(example.label) for example in self.examples])
        top = top_k_accuracy(photos @ unit_rows(rows).T, truth, 1)
        return {"top_1": top, "score": top}


def overall(measures: Sequence[dict[str, float]]) -> dict[str, float]:
    """The measures of several sets together; their `score` is the mean of the sets' own."""
    together = {name: value for table in measures for name, value in table.items() if not name.endswith("score")}
    scores = [value for table in measures for name, value in table.items() if name.endswith("score")]
    return {**together, "score": float(np.mean(scores))}

"""Recall both ways as one number to choose by: what a setting is worth on validation photos."""

from __future__ import annotations

import numpy as np

from evaluation.metrics import first_rank_by_similarity, recall_at
from indexer.items import Float32Array, Int64Array


def recalls(similarity: Float32Array, owners: Int64Array) -> dict[str, float]:
    """R@1/5/10 in percent of sentences looking for their photo, then of photos looking for any of theirs.

    `similarity` `[sentences, photos]`, `owners` `[sentences]` the photo of each sentence.
    """
    right = owners[:, None] == np.arange(similarity.shape[1])[None, :]
    ways = {
        "text_to_image": first_rank_by_similarity(similarity, right),
        "image_to_text": first_rank_by_similarity(similarity.T, right.T),
    }
    return {f"{way}_r{k}": 100 * recall_at(ranks, k) for way, ranks in ways.items() for k in (1, 5, 10)}


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

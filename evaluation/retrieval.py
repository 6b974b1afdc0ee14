"""Retrieval on captioned photos, both ways, by the standard protocol: every photo may have several captions."""

from __future__ import annotations

import numpy as np

from evaluation.metrics import (
    first_rank_by_similarity,
    mean_average_precision,
    mean_reciprocal_rank,
    ndcg_at,
    recall_at,
    relevance_in_order,
)
from indexer.items import Float32Array, Int64Array

Table = dict[str, dict[str, float]]


def retrieval(photos: Float32Array, captions: Float32Array, owners: Int64Array) -> Table:
    """Measures of text->image and image->text from unit rows.

    `photos` `[n, dim]`, `captions` `[m, dim]`, `owners` `[m]` the photo of each caption. A sentence looks for its one
    photo; a photo looks for any of its captions (R@k, ranks) or for all of them (mAP, nDCG).
    """
    similarity = captions @ photos.T  # (m, n)
    relevant = owners[:, None] == np.arange(len(photos))[None, :]
    return {
        "text_to_image": measures(similarity, relevant),
        "image_to_text": measures(np.ascontiguousarray(similarity.T), np.ascontiguousarray(relevant.T)),
    }


def measures(similarity: Float32Array, relevant: np.ndarray) -> dict[str, float]:
    """R@1/5/10, median rank, MRR, nDCG@10 and mAP of one direction."""
    ranks = first_rank_by_similarity(similarity, relevant)
    ordered = relevance_in_order(similarity, relevant)
    return {
        **{f"R@{k}": recall_at(ranks, k) for k in (1, 5, 10)},
        "median rank": float(np.median(ranks)),
        "MRR": mean_reciprocal_rank(ranks),
        "nDCG@10": ndcg_at(ordered, 10),
        "mAP": mean_average_precision(ordered),
    }

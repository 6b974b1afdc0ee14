"""Measures as pure functions of similarities: higher is nearer, rows are queries, columns what is found.

The orientation is in the names because a function that takes distances for similarities answers nonsense
without a word.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from indexer.items import Float32Array, Int64Array

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


def first_rank_by_similarity(similarity: Float32Array, relevant: BoolArray) -> Int64Array:
    """The rank, from 1, of each query's best relevant column: `[queries, columns]` twice -> `[queries]`.

    Columns as similar as the best relevant one count against it by half, so that a model which gives everything the
    same score ranks in the middle and not at the top.

    >>> first_rank_by_similarity(np.array([[0.9, 0.5, 0.7]], np.float32), np.array([[False, True, True]]))
    array([2])
    """
    best = np.where(relevant, similarity, -np.inf).max(axis=1, keepdims=True)
    above = (~relevant & (similarity > best)).sum(axis=1)
    level = (~relevant & (similarity == best)).sum(axis=1)
    ranks: Int64Array = 1 + above + (level + 1) // 2
    return ranks


def recall_at(ranks: Int64Array, k: int) -> float:
    """The part of queries whose first relevant column is among the first `k`."""
    return float((ranks <= k).mean())


def mean_reciprocal_rank(ranks: Int64Array) -> float:
    """The mean of 1 / rank."""
    return float((1.0 / ranks).mean())


def relevance_in_order(similarity: Float32Array, relevant: BoolArray) -> BoolArray:
    """Each query's relevances from the most to the least similar column; ties stay in the order of the columns."""
    order = np.argsort(-similarity, axis=1, kind="stable")
    return np.take_along_axis(relevant, order, axis=1)


def mean_average_precision(ordered: BoolArray) -> float:
    """The mean over queries of the mean precision at each relevant column, `ordered` being `[queries, columns]`."""
    hits = ordered.cumsum(axis=1)
    precision = hits / np.arange(1, ordered.shape[1] + 1)
    return float(((precision * ordered).sum(axis=1) / np.maximum(hits[:, -1], 1)).mean())


def ndcg_at(ordered: BoolArray, k: int) -> float:
    """The mean normalised discounted cumulative gain of the first `k` columns (Järvelin and Kekäläinen, 2002)."""
    discounts = 1.0 / np.log2(np.arange(2, ordered.shape[1] + 2))
    gained = (ordered[:, :k] * discounts[:k]).sum(axis=1)
    best = np.concatenate([[0.0], discounts[:k].cumsum()])[np.minimum(ordered.sum(axis=1), k)]
    return float((gained / np.maximum(best, discounts[0] * 1e-9)).mean())


def top_k_accuracy(similarity: Float32Array, truth: Int64Array, k: int) -> float:
    """The part of rows whose true column, `truth` `[rows]`, is among the `k` most similar."""
    best = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return float((best == truth[:, None]).any(axis=1).mean())


def precision_recall_f1(truth: Int64Array, predicted: Int64Array, classes: int) -> FloatArray:
    """Precision, recall and F1 of each class: `[classes, 3]`; 0 where there is nothing to divide by."""
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
    confusion = counts.reshape(classes, classes)  # how often each class, a row, was taken for each, a column
    hits = np.diag(confusion).astype(np.float64)
    precision = hits / np.maximum(confusion.sum(axis=0), 1)
    recall = hits / np.maximum(confusion.sum(axis=1), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return np.stack([precision, recall, f1], axis=1)


# retrieval on captioned photos, both ways, by the standard protocol: every photo may have several captions


def retrieval(photos: Float32Array, captions: Float32Array, owners: Int64Array) -> dict[str, dict[str, float]]:
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


# agreement with people


def rank_correlation(kind: str, scores: FloatArray, judgements: FloatArray) -> float:
    """Kendall's tau-"b" or -"c" or "Spearman"'s rho of scores `[n]` with judgements `[n]`; 0 where one says nothing.

    Judgements have few levels and many ties, for which the field uses Kendall's; captioning reports tau-c.
    """
    from scipy import stats  # late: a third of a second

    if not (np.ptp(scores) and np.ptp(judgements)):
        return 0.0
    spearman = kind == "Spearman"
    found = stats.spearmanr(scores, judgements) if spearman else stats.kendalltau(scores, judgements, variant=kind)
    return float(found.statistic)

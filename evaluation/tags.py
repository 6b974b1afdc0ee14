"""How good tags are: whether labels find their photos, and whether "other" wins where the right label is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evaluation.class_names import phrases
from evaluation.datasets import Example, embed_photos
from indexer.encoders import Encoder
from indexer.items import Float32Array, Int64Array
from search.organise.vocabulary import RIVALS_EVERY, shipped_words
from search.prompts import embed_texts
from search.query import STRICTNESS
from search.relevance import WITNESSES, Judge, judge_for

# Draws of the half of the labels that is offered.
DRAWS = 20


def tagging(encoder: Encoder, examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Tags labelled photos with a random half of the labels, the mean of `DRAWS` draws, for each strictness.

    Of the photos whose label is offered, "right tag" is the share that gets it, and "best tag right" the share whose
    most probable tag it is; of the tags given, "right of all tags" is the share that is right. Of the photos whose
    label is left out, "other rightly" is the share that gets no tag.
    """
    labels = sorted({example.label for example in examples if phrases(example.label)})
    known = [example for example in examples if example.label in labels]
    truth = np.array([labels.index(example.label) for example in known])
    rows = embed_texts(encoder, [_bare(phrases(label)[0]) for label in labels])
    judge = judge_for(encoder.checksum, embed_texts(encoder, shipped_words()[::RIVALS_EVERY]))
    photos = embed_photos(encoder, known)
    to_beat = judge.to_beat(photos)
    scores = photos @ rows.T  # (n, dim) @ (dim, labels) -> (n, labels)
    chances = np.stack([judge.probabilities(column, to_beat, column) for column in scores.T], axis=1)
    draws = [np.random.default_rng(seed).permutation(len(labels))[: len(labels) // 2] for seed in range(DRAWS)]
    table = {}
    for strictness in STRICTNESS:
        given = _given(judge, scores, chances, strictness)
        measured = [_measured(given[:, offered], chances[:, offered], offered, truth) for offered in draws]
        table[strictness] = {name: float(np.mean([one[name] for one in measured])) for name in measured[0]}
    return table


def _given(
    judge: Judge, scores: Float32Array, chances: npt.NDArray[np.float64], strictness: str
) -> npt.NDArray[np.bool_]:
    """Which photos get which labels, `[n, labels]`."""
    nearest = np.argsort(-scores, axis=0, kind="stable")[:WITNESSES]
    sure = [judge.is_sure(chances[places, label], strictness) for label, places in enumerate(nearest.T)]
    given: npt.NDArray[np.bool_] = (chances >= judge.cuts[strictness].keeps) & np.array(sure)
    return given


def _bare(phrase: str) -> str:
    """A label as people write it: without its article."""
    return re.sub(r"^(an?|the) ", "", phrase)


def _measured(
    given: npt.NDArray[np.bool_], chances: npt.NDArray[np.float64], offered: Int64Array, truth: Int64Array
) -> dict[str, float]:
    """The measures of tags `given` `[photos, offered]`."""
    right = truth[:, np.newaxis] == offered
    fits, tagged = right.any(axis=1), np.asarray(given.any(axis=1))
    best = tagged & (offered[np.where(given, chances, 0).argmax(axis=1)] == truth)
    return {
        "right tag": float((given & right).sum() / fits.sum()),
        "best tag right": float(best[fits].mean()),
        "right of all tags": float((given & right).sum() / max(given.sum(), 1)),
        "other rightly": float((~tagged)[~fits].mean()),
    }

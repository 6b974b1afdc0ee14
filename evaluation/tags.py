"""How good tags are: whether labels find their photos, and whether "other" wins where the right label is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from evaluation.class_names import phrases
from evaluation.datasets import Example
from evaluation.photos import embed_photos
from indexer.encoders import Encoder
from indexer.items import Float32Array, Int64Array
from search.organise import tags
from search.organise.vocabulary import Vocabulary, embed_words, shipped_words

# Sentences that are true of any photo: the usual way to let "other" win, and what ours is compared with.
GENERIC = (
    *("a photo", "a picture", "an image", "something", "something else", "a photo of something", "an object"),
    *("a photo of something else", "a thing", "a scene", "a place", "anything", "other", "a random photo"),
)

# Draws of the half of the labels that is offered.
DRAWS = 20


def tagging(encoder: Encoder, examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Tags labelled photos with a random half of the labels, the mean of `DRAWS` draws, for each kind of rival.

    Of the photos whose label is offered, "right tag" is the share that gets it, and "best tag right" the share whose
    most probable tag it is; of the tags given, "right of all tags" is the share that is right. Of the photos whose
    label is left out, "other rightly" is the share that gets no tag.
    """
    labels = sorted({example.label for example in examples if phrases(example.label)})
    known = [example for example in examples if example.label in labels]
    truth = np.array([labels.index(example.label) for example in known])
    names = embed_words(encoder, [_bare(phrases(label)[0]) for label in labels])
    photos = embed_photos(encoder, known)
    vocabulary = Vocabulary(shipped_words(), embed_words(encoder, shipped_words()))
    generic = Vocabulary(GENERIC, encoder.embed("text", GENERIC))
    return {
        "rivals from the vocabulary": _mean(photos, truth, names, vocabulary, tags.RIVALS),
        "only the best of them": _mean(photos, truth, names, vocabulary, 1),
        "generic sentences": _mean(photos, truth, names, generic, 1),
    }


def _bare(phrase: str) -> str:
    """A label as people write it: without its article."""
    return re.sub(r"^(an?|the) ", "", phrase)


def _mean(
    photos: Float32Array, truth: Int64Array, names: Float32Array, words: Vocabulary, rivals: int
) -> dict[str, float]:
    draws = [np.random.default_rng(seed).permutation(len(names))[: len(names) // 2] for seed in range(DRAWS)]
    tables = [
        _judged(tags.Labeller(names[offered], words, rivals=rivals).leads(photos), offered, truth) for offered in draws
    ]
    return {measure: float(np.mean([table[measure] for table in tables])) for measure in tables[0]}


def _judged(leads: Float32Array, offered: Int64Array, truth: Int64Array) -> dict[str, float]:
    """`leads` are `[photos, offered]`."""
    given, right = leads >= 0, truth[:, np.newaxis] == offered
    fits, tagged = right.any(axis=1), np.asarray(given.any(axis=1))
    best = tagged & (offered[leads.argmax(axis=1)] == truth)
    return {
        "right tag": float((given & right).sum() / fits.sum()),
        "best tag right": float(best[fits].mean()),
        "right of all tags": float((given & right).sum() / max(given.sum(), 1)),
        "other rightly": float((~tagged)[~fits].mean()),
    }

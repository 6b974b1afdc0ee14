"""Tagging photos with labels of one's own, without a photo to learn from; where no label fits, "other" wins.

A label fits a photo if it is nearer than what else might be said of it: than the `RIVALS`-th best word of the shipped
vocabulary, without the words that mean nearly the same as some label. Each label is judged by itself, so that a photo
may bear several. Measured by `python -m evaluation tags` with the shipped encoder:

                                right tag   other rightly   right of all tags
    generic sentences ("a photo")   94 %          27 %            20 %
    the best word of the rest       74 %          93 %            77 %
    the third best (this)           85 %          82 %            63 %
    the fifth best                  90 %          73 %            54 %

over the held-out photos of caltech101, a random half of whose labels is offered (the mean of 20 draws): of photos whose
label is offered, how many get it; of the others, how many get no tag at all; of all tags given, how many are right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.encoders.base import Encoder
from indexer.errors import QueryError
from indexer.items import Float32Array
from indexer.library import Library
from indexer.storage.files import as_stored
from indexer.storage.tags import Tag
from search.filters import OTHER, Filter
from search.labels import read_labels
from search.organise.vocabulary import Vocabulary, embed_words, vocabulary
from search.output import Rows

MODALITY = "image"

# A word of the vocabulary with at least this cosine to a label speaks for the label, and is no rival.
SYNONYM = 0.7

# The rival that a label has to beat, counted from the best: a photo shows several things, and each has its words.
RIVALS = 3

# How fast the probability rises with a label's lead, by 30 everyday labels and the captions of Flickr8k's val photos: a
# label is right that two of five captions speak of. Of what is given 55, 65, 75, 85, 92 and 97 %, right are 63, 72, 81,
# 84, 93 and 100 %; fitted by logistic regression through zero it would be 0.09 there, and 0.04 on single labels.
TEMPERATURE = 0.05

# What is stored: what is more probable than not.
LEAST = 0.5


@dataclass(frozen=True, slots=True)
class Tagging:
    """What was tagged: how many photos there are, how many bear each label, and how many of them none of the labels."""

    photos: int
    counts: Mapping[str, int]
    other: int


def tag(library: Library, labels: Path, encoder: Encoder, words: Vocabulary | None = None) -> Tagging:
    """Tags every photo of the library with the lines of `labels`, each instead of what was tagged with it before.

    Tags that `labels` does not name stay. All is stored in one transaction, under the library's lock. Raises
    `QueryError` for labels that cannot be used, `LibraryLocked` while another process writes.
    """
    names = _names(labels)
    labeller = Labeller(embed_words(encoder, names), words or vocabulary(library, encoder))
    with library.lock():
        found, photos, other = [], 0, 0
        for vectors in library.catalog.vectors_since(MODALITY, 0):
            probabilities = labeller.probabilities(vectors.rows)
            fits = probabilities >= LEAST
            photos, other = photos + len(vectors), other + int((~fits.any(axis=1)).sum())
            found += [
                Tag(int(vectors.ids[photo]), names[label], float(probabilities[photo, label]))
                for photo, label in np.argwhere(fits)
            ]
        library.catalog.tags.replace(names, found)
    counts = dict.fromkeys(names, 0)
    for one in found:
        counts[one.tag] += 1
    return Tagging(photos, counts, other)


def _names(labels: Path) -> list[str]:
    """The labels, each once. Raises `QueryError` for one that Descry gives itself."""
    once = {label.casefold(): label for _, label in reversed(read_labels(labels))}
    if OTHER in once:
        raise QueryError(f"{labels}: {OTHER!r} is what photos without a tag are called: take that line out.")
    return [label for _, label in read_labels(labels) if once.pop(label.casefold(), None)]


class Labeller:
    """Says how probable labels are of photos: `labels` are unit rows `[labels, dim]`."""

    def __init__(self, labels: Float32Array, words: Vocabulary, *, rivals: int = RIVALS) -> None:
        self._labels = labels
        self._rank = rivals
        self._rivals = words.rows[(words.rows @ labels.T).max(axis=1) < SYNONYM]

    def leads(self, rows: Float32Array) -> Float32Array:
        """By how much each label is nearer to photos, unit rows `[n, dim]`, than what it has to beat: `[n, labels]`."""
        scores: Float32Array = rows @ self._labels.T  # (n, dim) @ (dim, labels)
        rank = min(self._rank, len(self._rivals))
        if not rank:
            return scores
        rivals = rows @ self._rivals.T  # (n, dim) @ (dim, rivals)
        to_beat = np.partition(rivals, -rank, axis=1)[:, -rank]
        lead: Float32Array = scores - to_beat[:, np.newaxis]
        return lead

    def probabilities(self, rows: Float32Array) -> Float32Array:
        """How probable each label is of photos, unit rows `[n, dim]`: `[n, labels]`; a half where "other" is level."""
        probable: Float32Array = 1 / (1 + np.exp(-self.leads(rows) / TEMPERATURE))
        return probable


def counts(library: Library) -> Rows:
    """The library's tags and how many photos bear each, the commonest first, and how many bear none."""
    held = library.catalog.tags.counts()
    if not held:
        return []
    none = len(library.catalog.ids(MODALITY, *Filter("tag", OTHER).condition()))
    return [{"tag": name, "photos": count} for name, count in [*held.items(), (OTHER, none)]]


def of(library: Library, photo: Path) -> Rows:
    """The tags of a photo of the library, the most probable first. Raises `QueryError` if it is not there."""
    items = library.catalog.items_at(as_stored(photo), MODALITY)
    if not items:
        raise QueryError(f"The library {library.path} holds no photo {photo}: `descry index` adds it.")
    held = library.catalog.tags.of(items[0].id or 0)
    return [{"tag": name, "probability": round(probability, 3)} for name, probability in held.items()]


def remove(library: Library, tags: Sequence[str]) -> int:
    """Takes tags off all photos; how often they were borne. Raises `QueryError` for a tag that no photo bears."""
    held = {name.casefold() for name in library.catalog.tags.counts()}
    for unknown in (name for name in tags if name.casefold() not in held):
        raise QueryError(f"No photo bears the tag {unknown!r}: `descry tag` lists those that there are.")
    with library.lock():
        return library.catalog.tags.remove(tags)


def summary(tagging: Tagging) -> str:
    """What a run did, in a line, and what came to nothing."""
    unused = [name for name, count in tagging.counts.items() if not count]
    unfit = f"; no photo fits {', '.join(unused)}" if unused else ""
    tagged = tagging.photos - tagging.other
    return f"{tagged} of {tagging.photos} photos tagged, the other {tagging.other} fit none of the labels{unfit}"

"""Tagging photos with labels of one's own, without a photo to learn from; where no label fits, "other" wins.

A photo gets every label that it would be found by: `search LABEL --relevant` and `tag` ask the same judge
(`search.relevance`). What tags are worth is measured by `python -m evaluation tags`.
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
from search.languages import embed_questions
from search.organise.vocabulary import rivals, vocabulary
from search.present.formats import Rows
from search.query import NORMALLY
from search.relevance import WITNESSES, Judge, judge_for

MODALITY = "image"


@dataclass(frozen=True, slots=True)
class Tagging:
    """What was tagged: how many photos there are, how many bear each label, and how many of them none of the labels."""

    photos: int
    counts: Mapping[str, int]
    other: int


def tag(library: Library, labels: Path, encoder: Encoder, *, strictness: str = NORMALLY) -> Tagging:
    """Tags every photo of the library with the lines of `labels`, each instead of what was tagged with it before.

    Tags that `labels` does not name stay. All is stored in one transaction, under the library's lock. Raises
    `QueryError` for labels that cannot be used, `LibraryLocked` while another process writes.
    """
    names = _names(labels)
    rows = embed_questions(encoder, names)
    vocabulary(library, encoder)  # so that the rivals are known from now on
    judge = judge_for(encoder.checksum, rivals(library))
    with library.lock():
        fitting = _fitting(library, rows, judge, strictness)
        found = [Tag(id, names[label], chance) for label, held in enumerate(fitting) for id, chance in held]
        library.catalog.tags.replace(names, found)
        photos = library.catalog.count(MODALITY)
    counts = {name: len(held) for name, held in zip(names, fitting, strict=True)}
    return Tagging(photos, counts, photos - len({one.item_id for one in found}))


def _fitting(library: Library, labels: Float32Array, judge: Judge, strictness: str) -> list[list[tuple[int, float]]]:
    """For each label, a row of `labels` `[labels, dim]`, the photos that it fits, by id, and how probably."""
    cut = judge.cuts[strictness]
    kept: list[list[tuple[int, float]]] = [[] for _ in labels]
    nearest: list[list[tuple[float, float]]] = [[] for _ in labels]
    for vectors in library.catalog.vectors_since(MODALITY, 0):
        to_beat = judge.to_beat(vectors.rows)
        for label, scores in enumerate(labels @ vectors.rows.T):  # (labels, dim) @ (dim, n) -> (labels, n)
            chances = judge.asked(labels[label]).probabilities(scores, to_beat, scores)
            fits = np.flatnonzero(chances >= cut.keeps)
            kept[label] += zip(vectors.ids[fits].tolist(), chances[fits].tolist(), strict=True)
            best = np.argsort(-scores, kind="stable")[:WITNESSES]
            both = [*nearest[label], *zip(scores[best].tolist(), chances[best].tolist(), strict=True)]
            nearest[label] = sorted(both, reverse=True)[:WITNESSES]
    witnesses = [[chance for _, chance in best] for best in nearest]
    photos = library.catalog.count(MODALITY)
    sure = [judge.is_sure(asked, strictness, photos=photos) for asked in witnesses]
    return [held if is_sure else [] for held, is_sure in zip(kept, sure, strict=True)]


def _names(labels: Path) -> list[str]:
    """The labels, each once. Raises `QueryError` for one that Descry gives itself."""
    once = {label.casefold(): label for _, label in reversed(read_labels(labels))}
    if OTHER in once:
        raise QueryError(f"{labels}: {OTHER!r} is what photos without a tag are called: take that line out.")
    return [label for _, label in read_labels(labels) if once.pop(label.casefold(), None)]


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

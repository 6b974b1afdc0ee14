"""What a relevance cut-off is fitted and measured on: queries against libraries of which it is known what fits.

A scene is a table of cosines and a table of what fits. People's judgements tell it for some pairs; captions tell what
a photo shows in the view of five people; labels tell what the photos of a labelled set are, and leaving a class out
makes a library that has none of it. The library's other photos are the background that the cut may look at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluation.class_names import phrases
from evaluation.datasets import READERS, DataError, Example, held_out
from evaluation.found import HERE
from evaluation.judgements import READ, Judgements, read_judgements
from evaluation.photos import embed_photos
from indexer.encoders import Encoder
from indexer.items import Float32Array, Int64Array

# What fits in a scene; unknown pairs belong to the library and count for nothing.
FITS, NOT, UNKNOWN = 1, 0, -1

# A caption that speaks of it may speak of a detail, or err: a photo shows what two of its five captions name, and is
# left out of the count where one does.
NAMED_BY = 2

# The labelled sets: two to choose the cut by, three to report it on.
LABELLED = {"fit": ("caltech101", "grocery"), "report": ("tiny_imagenet", "flower_photos", "clothing_cc0")}
LARGE, SMALL, DRAWN = 1000, 20, 5


@dataclass(frozen=True)
class Scene:
    """Queries against libraries: `scores` `[q, n]` are cosines, NaN where the library of that query lacks the photo;
    `fits` `[q, n]` says `FITS`, `NOT` or `UNKNOWN`."""

    name: str
    scores: Float32Array
    fits: Int64Array

    def among(self, name: str, photos: np.ndarray) -> Scene:
        """The same with a library of those photos for each query, `[q, n]` or `[n]` truth values."""
        return Scene(name, np.where(photos, self.scores, np.nan), np.where(photos, self.fits, UNKNOWN))

    def judged(self, photos: np.ndarray) -> Scene:
        """The same library, but only those photos `[n]` count."""
        return replace(self, fits=np.where(photos, self.fits, UNKNOWN))


@dataclass(frozen=True)
class Captioned:
    """A split of Flickr8k in the encoder's eyes: its examples, their photos `[n, dim]` and captions `[m, dim]`."""

    examples: Sequence[Example]
    photos: Float32Array
    captions: Float32Array


def captioned(encoder: Encoder, data: Path, split: str) -> Captioned:
    """The photos and captions of a split of `data/flickr8k`, embedded."""
    everything = READERS["captions_jsonl"](data / "flickr8k" / "captions.jsonl")
    examples = [example for example in everything if example.split == split]
    if not examples:
        raise DataError(f"{data / 'flickr8k' / 'captions.jsonl'}: no photo belongs to the split {split!r}.")
    sentences = [caption for example in examples for caption in example.captions]
    return Captioned(examples, embed_photos(encoder, examples), encoder.embed("text", sentences))


def judged(data: Path, test: Captioned) -> dict[str, tuple[Scene, Judgements]]:
    """The scenes of people's judgements, over the library of all test photos, with the judgements themselves."""
    scenes = {}
    for who in READ:
        judgements = read_judgements(data / "flickr8k", who, test.examples)
        captions, place = np.unique(judgements.caption, return_inverse=True)
        fits = np.full((len(captions), len(test.photos)), UNKNOWN, np.int64)
        fits[place, judgements.photo] = np.where(judgements.fits, FITS, NOT)
        scenes[who] = Scene(who, test.captions[captions] @ test.photos.T, fits), judgements
    return scenes


def queries(name: str, half: slice) -> dict[str, list[str]]:
    """Every second query of `present_queries.json` or `absent_queries.json`, with the words that would name it."""
    table: dict[str, list[str]] = json.loads((HERE / f"{name}_queries.json").read_text(encoding="utf-8"))
    return dict(list(table.items())[half])


def named(words: Sequence[str], examples: Sequence[Example]) -> Int64Array:
    """How many captions of each example name one of the words, `[n]`."""
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, words))})\b", re.IGNORECASE)
    captions = [caption for example in examples for caption in example.captions]
    owners = np.repeat(np.arange(len(examples)), [len(example.captions) for example in examples])
    starts = np.cumsum([0, *(len(caption) + 1 for caption in captions)])
    found = [match.start() for match in pattern.finditer("\n".join(captions))]  # one scan: 100 times quicker
    naming = np.unique(np.searchsorted(starts, found, "right") - 1).astype(np.int64)
    return np.bincount(owners[naming], minlength=len(examples))


def present(encoder: Encoder, library: Captioned, table: Mapping[str, Sequence[str]]) -> Scene:
    """Short queries that some photo of the library answers, by its captions."""
    counts = {query: named(words, library.examples) for query, words in table.items()}
    asked = [query for query, count in counts.items() if (count >= NAMED_BY).any()]
    if not asked:
        raise DataError("present_queries.json: the captions name none of its things; too few photos, or other ones.")
    count = np.stack([counts[query] for query in asked])
    fits = np.select([count >= NAMED_BY, count == 0], [FITS, NOT], UNKNOWN)
    return Scene("present", encoder.embed("text", asked) @ library.photos.T, fits)


def absent(encoder: Encoder, library: Captioned, table: Mapping[str, Sequence[str]]) -> Scene:
    """Queries about things that no photo of the library shows: no caption names them nor their like."""
    asked = [query for query, words in table.items() if not named(words, library.examples).any()]
    scores = encoder.embed("text", asked) @ library.photos.T
    return Scene("absent", scores, np.full(scores.shape, NOT))


def labelled(encoder: Encoder, data: Path, name: str) -> Iterator[Scene]:
    """The classes of a labelled set as queries over its held-out photos; then each without the photos of its class."""
    path = data / "labelled" / f"{name}.tar"
    if not path.is_file():
        raise DataError(f"{path}: missing; the labelled sets belong below --data.")
    examples = held_out(READERS["labelled_tar"](path))[1]
    labels = np.array([example.label for example in examples])
    classes = [label for label in sorted(set(labels)) if phrases(label)]
    sentences = encoder.embed("text", [phrases(label)[0] for label in classes])
    own = np.array(classes)[:, None] == labels
    scene = Scene(name, sentences @ embed_photos(encoder, examples).T, np.where(own, FITS, NOT))
    yield scene
    yield scene.among(f"{name}, class left out", ~own)


def small(scene: Scene, name: str) -> Scene:
    """Each query several times, each time with a library of a few photos drawn at random."""
    again = Scene(name, np.repeat(scene.scores, DRAWN, axis=0), np.repeat(scene.fits, DRAWN, axis=0))
    order = np.random.default_rng(0).random(again.scores.shape).argsort(axis=1)
    return again.among(name, order < SMALL)


def only_what_fits(scene: Scene, name: str) -> Scene:
    """Libraries that hold nothing else than what fits: the queries with enough of it."""
    enough = (scene.fits == FITS).sum(axis=1) >= SMALL
    chosen = Scene(name, scene.scores[enough], scene.fits[enough])
    return chosen.among(name, chosen.fits == FITS)

"""What a relevance cut-off is fitted and measured on: questions to libraries of which it is known what fits.

A scene is a table of cosines and a table of what fits. Captions tell what a photo shows in the view of several people;
labels tell what the photos of a labelled set are, and leaving a class out makes a library that has none of it; people's
judgements tell whether a photo fits a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from evaluation.arithmetic import naming, pairs_of
from evaluation.classify import phrases
from evaluation.datasets import READERS, DataError, Example, embed_photos, held_out
from evaluation.judgements import READ, Judgements, read_judgements
from evaluation.questions import HERE, Captions, held_out_photos
from indexer.encoders import Encoder
from indexer.items import Float32Array, Int64Array
from search.prompts import embed_texts
from search.relevance import Judge
from search.rerank import penalties

# What fits in a scene; unknown pairs belong to the library and count for nothing.
FITS, NOT, UNKNOWN = 1, 0, -1

# A caption that speaks of it may speak of a detail, or err: of photos with three captions and more, one shows what two
# of them name, and is left out of the count where one does.
SEVERAL, NAMED_BY = 3, 2

LABELLED = ("caltech101", "flower_photos", "clothing_cc0")
SMALL, DRAWN = 20, 5


@dataclass(frozen=True)
class Scene:
    """Questions to libraries: `scores` `[q, n]` are cosines, NaN where the library of that question lacks the photo;
    `to_beat` `[n, r]` is that of `Judge` for the photos, `fits` `[q, n]` says `FITS`, `NOT` or `UNKNOWN`."""

    questions: tuple[str, ...]
    scores: Float32Array
    to_beat: Float32Array
    fits: Int64Array

    def among(self, photos: np.ndarray) -> Scene:
        """The same with a library of those photos for each question, `[q, n]` or `[n]` truth values."""
        kept = np.broadcast_to(photos, self.scores.shape)
        return replace(self, scores=np.where(kept, self.scores, np.nan), fits=np.where(kept, self.fits, UNKNOWN))

    def some(self, questions: slice) -> Scene:
        """The same with some of the questions."""
        return Scene(self.questions[questions], self.scores[questions], self.to_beat, self.fits[questions])


@dataclass(frozen=True)
class Photos:
    """Captioned photos in the encoder's eyes: unit rows `[n, dim]` and what a question has to beat, `[n, r]`."""

    examples: Sequence[Example]
    rows: Float32Array
    to_beat: Float32Array

    def asked(self, encoder: Encoder, questions: Sequence[str], fits: Int64Array) -> Scene:
        """The scene of these questions, of which it is known what fits, `[q, n]`."""
        return Scene(tuple(questions), embed_texts(encoder, questions) @ self.rows.T, self.to_beat, fits)


def halves(encoder: Encoder, judge: Judge, data: Path) -> tuple[Photos, Photos]:
    """The held-out photos in two halves: Flickr8k val and every second COCO photo to fit, the others to report."""
    everything = held_out_photos(data)
    second = 0
    chosen: tuple[list[Example], list[Example]] = ([], [])
    for example in everything:
        second += not example.split
        chosen[example.split == "test" or (not example.split and second % 2 == 0)].append(example)
    fit, report = (_embedded(encoder, judge, examples) for examples in chosen)
    return fit, report


def _embedded(encoder: Encoder, judge: Judge, examples: Sequence[Example]) -> Photos:
    rows = embed_photos(encoder, examples)
    return Photos(examples, rows, judge.to_beat(rows))


def words(encoder: Encoder, photos: Photos) -> Scene:
    """The words of `things.json` and the photos whose captions name them."""
    table: dict[str, str] = json.loads((HERE / "things.json").read_text(encoding="utf-8"))
    captions = Captions(photos.examples)
    count = np.stack([captions.saying(rule) for rule in table.values()])
    needed = np.where([len(example.captions) >= SEVERAL for example in photos.examples], NAMED_BY, 1)
    return photos.asked(encoder, list(table), np.select([count >= needed, count == 0], [FITS, NOT], UNKNOWN))


def absent(encoder: Encoder, photos: Photos) -> Scene:
    """Questions about things that no photo shows: none of several captions names them nor their like."""
    table: dict[str, list[str]] = json.loads((HERE / "absent_queries.json").read_text(encoding="utf-8"))
    captions = Captions(photos.examples)
    asked = [
        question
        for question, names in table.items()
        if not captions.saying(" or ".join(name.replace(" ", "_") for name in names)).any()
    ]
    told = np.array([len(example.captions) >= SEVERAL for example in photos.examples])  # one caption leaves much out
    return photos.asked(encoder, asked, np.full((len(asked), len(photos.rows)), NOT)).among(told)


def taken_away(encoder: Encoder, photos: Photos) -> Scene:
    """Pairs of things as in "dog -grass": what fits shows the one, by its captions, and not the other."""
    shown = naming(photos.examples)
    rows = dict(zip(shown, embed_texts(encoder, list(shown)), strict=True))
    pairs = pairs_of(shown)
    scores = []
    for pair in pairs:
        cosines = (photos.rows @ rows[pair.b])[:, np.newaxis]
        scores.append(photos.rows @ rows[pair.a] - penalties(cosines, cosines.mean(axis=0), [1.0]))
    fits = np.stack([np.where(pair.fitting, FITS, NOT) for pair in pairs])
    return Scene(tuple(f"{pair.a} -{pair.b}" for pair in pairs), np.stack(scores), photos.to_beat, fits)


def judged(encoder: Encoder, photos: Photos, data: Path) -> dict[str, tuple[Scene, Judgements]]:
    """The scenes of people's judgements on Flickr8k's test photos, with the judgements themselves."""
    places = [place for place, example in enumerate(photos.examples) if example.split == "test"]
    examples = [photos.examples[place] for place in places]
    sentences = [caption for example in examples for caption in example.captions]
    scenes = {}
    for who in READ:
        judgements = read_judgements(data / "flickr8k", who, examples)
        captions, row = np.unique(judgements.caption, return_inverse=True)
        fits = np.full((len(captions), len(places)), UNKNOWN, np.int64)
        fits[row, judgements.photo] = np.where(judgements.fits, FITS, NOT)
        there = Photos(examples, photos.rows[places], photos.to_beat[places])
        scenes[who] = there.asked(encoder, [sentences[caption] for caption in captions], fits), judgements
    return scenes


def labelled(encoder: Encoder, judge: Judge, data: Path, name: str) -> Iterator[tuple[str, Scene]]:
    """The classes of a labelled set as questions to its held-out photos; then each without the photos of its class."""
    path = data / "labelled" / f"{name}.tar"
    if not path.is_file():
        raise DataError(f"{path}: missing; the labelled sets belong below --data.")
    photos = _embedded(encoder, judge, held_out(READERS["labelled_tar"](path))[1])
    labels = np.array([example.label for example in photos.examples])
    classes = [label for label in sorted(set(labels)) if phrases(label)]
    own = np.array(classes)[:, None] == labels
    scene = photos.asked(encoder, [phrases(label)[0] for label in classes], np.where(own, FITS, NOT))
    yield name, scene
    yield f"{name}, class left out", scene.among(~own)


def small(scene: Scene) -> Scene:
    """Each question several times, each time with a library of a few photos drawn at random."""
    repeated = partial(np.repeat, repeats=DRAWN, axis=0)
    again = Scene(scene.questions * DRAWN, repeated(scene.scores), scene.to_beat, repeated(scene.fits))
    order = np.random.default_rng(0).random(again.scores.shape).argsort(axis=1)
    return again.among(order < SMALL)


def only_what_fits(scene: Scene) -> Scene:
    """Libraries that hold nothing else than what fits: the questions with enough of it."""
    enough = np.flatnonzero((scene.fits == FITS).sum(axis=1) >= SMALL)
    names = tuple(scene.questions[place] for place in enough)
    chosen = Scene(names, scene.scores[enough], scene.to_beat, scene.fits[enough])
    return chosen.among(chosen.fits == FITS)

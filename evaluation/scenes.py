"""What a relevance cut-off is fitted and measured on: questions to libraries of which it is known what fits.

A scene is a table of cosines and a table of what fits. Captions tell what a photo shows in the view of several people,
but leave much unsaid: of the nearest photos that no caption names, a third shows the thing, so that such photos were
looked at. Labels tell what the photos of a labelled set are, and leaving a class out makes a library that has none of
it; people's judgements tell whether a photo fits a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluation.arithmetic import BoolArray, naming, pairs_of
from evaluation.classify import phrases
from evaluation.datasets import READERS, DataError, Example, embed_photos, held_out
from evaluation.judgements import READ, Judgements, read_judgements
from evaluation.questions import HERE, Captions, held_out_photos
from indexer.encoders import Encoder
from indexer.items import Float32Array, Int64Array
from search.prompt_templates import embed_texts
from search.relevance import Judge
from search.rerank import penalties

# For each of `things.json`, photos that are near it and not named by their captions, by their places among
# `held_out_photos`: [shown, not shown, not looked at] in lots, of which those that were looked at were drawn at random.
# 2,482 pairs by one person; pooled from the fourth encoder's nearest, as test collections of retrieval are.
LOOKED_AT = "looked_at.json"

# A caption that speaks of it may speak of a detail, or err: of photos with three captions and more, one shows what two
# of them name, and is left out of the count where one does.
SEVERAL, NAMED_BY = 3, 2

LABELLED = ("caltech101", "flower_photos", "clothing_cc0")
SMALL, DRAWN = 20, 5


@dataclass(frozen=True)
class Scene:
    """Questions to libraries: `asked` `[q, dim]` are their unit rows, `scores` `[q, n]` cosines, NaN where the library
    of that question lacks the photo; `to_beat` `[n, r]` is that of `Judge` for the photos, `fits` `[q, n]` whether it
    fits, `weights` `[q, n]` for how many photos each counts: 0 for one of which nobody knows whether it fits."""

    questions: tuple[str, ...]
    asked: Float32Array
    scores: Float32Array
    to_beat: Float32Array
    fits: BoolArray
    weights: Float32Array

    def among(self, photos: np.ndarray) -> Scene:
        """The same with a library of those photos for each question, `[q, n]` or `[n]` truth values."""
        kept = np.broadcast_to(photos, self.scores.shape)
        return replace(self, scores=np.where(kept, self.scores, np.nan), weights=np.where(kept, self.weights, 0))

    def some(self, questions: slice) -> Scene:
        """The same with some of the questions."""
        return Scene(
            self.questions[questions],
            self.asked[questions],
            self.scores[questions],
            self.to_beat,
            self.fits[questions],
            self.weights[questions],
        )


@dataclass(frozen=True)
class Photos:
    """Captioned photos in the encoder's eyes: unit rows `[n, dim]` and what a question has to beat, `[n, r]`; `places`
    `[n]` are theirs among `held_out_photos`."""

    examples: Sequence[Example]
    rows: Float32Array
    to_beat: Float32Array
    places: Int64Array

    def asked(
        self, encoder: Encoder, questions: Sequence[str], fits: BoolArray, weights: np.ndarray | None = None
    ) -> Scene:
        """The scene of these questions; `fits` and `weights` `[q, n]` as in `Scene`, weights of 1 if none are given."""
        weighed = np.ones(fits.shape, np.float32) if weights is None else np.asarray(weights, np.float32)
        asked = embed_texts(encoder, questions)
        return Scene(tuple(questions), asked, asked @ self.rows.T, self.to_beat, fits, weighed)


def halves(encoder: Encoder, judge: Judge, data: Path) -> tuple[Photos, Photos]:
    """The held-out photos in two halves: Flickr8k val and every second COCO photo to fit, the others to report."""
    everything = held_out_photos(data)
    second = 0
    chosen: tuple[list[int], list[int]] = ([], [])
    for place, example in enumerate(everything):
        second += not example.split
        chosen[example.split == "test" or (not example.split and second % 2 == 0)].append(place)
    fit, report = (
        replace(_embedded(encoder, judge, [everything[place] for place in places]), places=np.array(places, np.int64))
        for places in chosen
    )
    return fit, report


def learned_from(encoder: Encoder, judge: Judge, data: Path) -> Photos:
    """Every second of the photos of Flickr8k that encoders learn from: many words, named by five people each."""
    everything = READERS["flickr8k"](data / "flickr8k" / "captions.jsonl")
    return _embedded(encoder, judge, [example for example in everything if example.split == "train"][::2])


def _embedded(encoder: Encoder, judge: Judge, examples: Sequence[Example]) -> Photos:
    rows = embed_photos(encoder, examples)
    return Photos(examples, rows, judge.to_beat(rows), np.arange(len(rows)))


def things() -> dict[str, str]:
    """Words to ask with and the rules by which captions name them, as in `evaluation.questions`."""
    table: dict[str, str] = json.loads((HERE / "things.json").read_text(encoding="utf-8"))
    return table


def words(encoder: Encoder, photos: Photos) -> Scene:
    """The words of `things.json` and the photos that show them, by their captions and by people who looked at them."""
    table = things()
    captions = Captions(photos.examples)
    count = np.stack([captions.saying(rule) for rule in table.values()])
    needed = np.where([len(example.captions) >= SEVERAL for example in photos.examples], NAMED_BY, 1)
    fits = count >= needed
    weights = (fits | (count == 0)).astype(np.float32)
    here = {place: number for number, place in enumerate(photos.places.tolist())}
    lots: dict[str, list[list[list[int]]]] = json.loads((HERE / LOOKED_AT).read_text(encoding="utf-8"))
    for row, word in enumerate(table):
        for lot in lots.get(word, []):
            shown, not_shown, unseen = ([here[place] for place in places if place in here] for places in lot)
            seen = shown + not_shown
            fits[row, shown] = True
            weights[row, unseen] = 0
            weights[row, seen] = 1 + len(unseen) / max(len(seen), 1)
    return photos.asked(encoder, list(table), fits, weights)


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
    return photos.asked(encoder, asked, np.zeros((len(asked), len(photos.rows)), bool)).among(told)


def taken_away(encoder: Encoder, photos: Photos) -> Scene:
    """Pairs of things as in "dog -grass": what fits shows the one, by its captions, and not the other."""
    shown = naming(photos.examples)
    rows = dict(zip(shown, embed_texts(encoder, list(shown)), strict=True))
    pairs = pairs_of(shown)
    scores = []
    for pair in pairs:
        cosines = (photos.rows @ rows[pair.b])[:, np.newaxis]
        scores.append(photos.rows @ rows[pair.a] - penalties(cosines, cosines.mean(axis=0), [1.0]))
    fits = np.stack([pair.fitting for pair in pairs])
    questions = tuple(f"{pair.a} -{pair.b}" for pair in pairs)
    asked = np.stack([rows[pair.a] for pair in pairs])
    return Scene(questions, asked, np.stack(scores), photos.to_beat, fits, np.ones(fits.shape, np.float32))


def judged(encoder: Encoder, photos: Photos, data: Path) -> dict[str, tuple[Scene, Judgements]]:
    """The scenes of people's judgements on Flickr8k's test photos, with the judgements themselves."""
    places = [place for place, example in enumerate(photos.examples) if example.split == "test"]
    examples = [photos.examples[place] for place in places]
    sentences = [caption for example in examples for caption in example.captions]
    scenes = {}
    for who in READ:
        judgements = read_judgements(data / "flickr8k", who, examples)
        captions, row = np.unique(judgements.caption, return_inverse=True)
        fits = np.zeros((len(captions), len(places)), bool)
        fits[row, judgements.photo] = judgements.fits
        known = np.zeros(fits.shape, np.float32)
        known[row, judgements.photo] = 1
        there = Photos(examples, photos.rows[places], photos.to_beat[places], photos.places[places])
        scenes[who] = there.asked(encoder, [sentences[caption] for caption in captions], fits, known), judgements
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
    scene = photos.asked(encoder, [phrases(label)[0] for label in classes], own)
    yield name, scene
    yield f"{name}, class left out", scene.among(~own)


def small(scene: Scene) -> Scene:
    """Each question several times, each time with a library of a few photos drawn at random."""
    places = np.tile(np.arange(len(scene.questions)), DRAWN)
    again = Scene(
        scene.questions * DRAWN,
        scene.asked[places],
        scene.scores[places],
        scene.to_beat,
        scene.fits[places],
        np.sign(scene.weights[places]),
    )
    order = np.random.default_rng(0).random(again.scores.shape).argsort(axis=1)
    return again.among(order < SMALL)


def only_what_fits(scene: Scene) -> Scene:
    """Libraries that hold nothing else than what fits: the questions with enough of it."""
    fits = scene.fits & (scene.weights > 0)
    enough = np.flatnonzero(fits.sum(axis=1) >= SMALL)
    names = tuple(scene.questions[place] for place in enough)
    asked, scores = scene.asked[enough], scene.scores[enough]
    chosen = Scene(names, asked, scores, scene.to_beat, scene.fits[enough], scene.weights[enough])
    return chosen.among(fits[enough])

"""Questions whose right photos are known: the demo's, everyday words over labelled photos, and questions of many kinds.

`kinds_of_questions.json` holds questions by kind, each with the rule that tells its right photos by their captions.
A rule is words that one caption of a photo must hold, in any order and case, plurals in -s and -es counted:

    man|guy dog         "man" or "guy", and "dog"
    red_shirt|jacket    "red", then "shirt" or "jacket", with at most two words between
    jersey or number    either rule
    @grey               the photo itself has no colours
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.datasets import DataError, Example, embed_photos, read_captioned_tar, read_captions_file
from indexer.encoders import Encoder
from indexer.items import Int64Array
from indexer.photos.monochrome import colour_of
from indexer.photos.opening import open_photo
from search.prompt_templates import embed_texts
from search.reading import read

HERE = Path(__file__).parent

QUESTIONS = HERE / "kinds_of_questions.json"

FIRST = 5

# COCO photos that nobody trains on: every ninth of the shard, from the first.
HELD_OUT_EVERY = 9

GREY = "@grey"

# The mean over a photo of the difference between the strongest and the weakest colour of a pixel, of 255. Of 2,506
# photos 26 lie below, of which 20 are at 0; the grey days begin at 4.5.
GREY_BELOW = 4.0

_UP_TO_TWO_WORDS = r"[^\w\n]+(?:[\w'-]+[^\w\n]+){0,2}?"


@dataclass(frozen=True)
class Found:
    """What a query found: the names nearest to it, with their cosines, and the rank of the right one."""

    query: str
    wanted: str
    best: tuple[tuple[str, float], ...]
    rank: int


def demo(encoder: Encoder, photos: Path, *, queries: Path = HERE / "demo_queries.json") -> list[Found]:
    """The demo queries, which were fixed before any encoder was measured on them, over a folder of photos."""
    paths = sorted(path for path in photos.iterdir() if path.suffix in (".jpg", ".png"))
    rows = encoder.embed("image", [open_photo(path) for path in paths])
    names = [path.name for path in paths]
    table = json.loads(queries.read_text(encoding="utf-8"))
    missing = [entry["photo"] for entry in table if entry["photo"] not in names]
    if missing:
        raise DataError(f"{photos}: the photo {missing[0]} is missing.")
    similarity = embed_texts(encoder, [entry["query"] for entry in table]) @ rows.T
    return [_found(entry["query"], entry["photo"], names, row) for entry, row in zip(table, similarity, strict=True)]


def _found(query: str, wanted: str, names: Sequence[str], row: np.ndarray) -> Found:
    order = np.argsort(-row, kind="stable")
    rank = 1 + [names[position] for position in order].index(wanted)
    return Found(query, wanted, tuple((names[position], float(row[position])) for position in order[:3]), rank)


def everyday(encoder: Encoder, examples: Sequence[Example], queries: dict[str, list[str]]) -> list[Found]:
    """Everyday words over labelled photos: `queries` maps a word to the labels that it covers.

    A label goes by its first synonym. The rank is that of the nearest photo with one of the labels; words without a
    photo here are left out.
    """
    rows = embed_photos(encoder, examples)
    labels = [example.label.split(",")[0] for example in examples]
    asked = {query: set(covered) for query, covered in queries.items() if set(covered) & set(labels)}
    similarity = embed_texts(encoder, list(asked)) @ rows.T
    results = []
    for (query, covered), row in zip(asked.items(), similarity, strict=True):
        order = np.argsort(-row, kind="stable")
        rank = 1 + next(place for place, position in enumerate(order) if labels[position] in covered)
        best = tuple((labels[position], float(row[position])) for position in order[:3])
        results.append(Found(query, ", ".join(sorted(covered)), best, rank))
    return results


def held_out_photos(data: Path) -> list[Example]:
    """Flickr8k's validation and test photos and the COCO photos that are held out, with their captions."""
    flickr8k = read_captions_file(data / "flickr8k" / "captions.jsonl")
    held = [example for example in flickr8k if example.split in ("val", "test")]
    return [*held, *read_captioned_tar(data / "captioned" / "coco.tar")[::HELD_OUT_EVERY]]


def kinds(encoder: Encoder, examples: Sequence[Example]) -> dict[str, Any]:
    """Precision at 5 by kind: of the first five photos, or of as many as are right where there are fewer.

    Asked as people do: what a question says of colours, as `search.reading` reads it, is a filter.
    """
    table: dict[str, dict[str, str]] = json.loads(QUESTIONS.read_text(encoding="utf-8"))
    photos = embed_photos(encoder, examples)
    captions = Captions(examples)
    colours = np.array([_colour_of(example) for example in examples])
    measured, worst = {}, []
    for kind, questions in table.items():
        readings = [read(question) for question in questions]
        scores = embed_texts(encoder, [rest for rest, _ in readings]) @ photos.T  # (q, dim) @ (dim, n) -> (q, n)
        precisions = []
        for (question, rule), (_, found), row in zip(questions.items(), readings, scores, strict=True):
            if wanted := [filter.value for one in found for filter in one.filters]:
                row[~np.isin(colours, wanted)] = -1.0
            right = captions.saying(rule) > 0
            if not right.any():
                raise DataError(f"{QUESTIONS.name}: no photo at hand is right for {question!r}; take more photos.")
            hits = right[np.argsort(-row, kind="stable")[:FIRST]].sum()
            precisions.append(hits / min(FIRST, right.sum()))
            if not hits:
                worst.append(f"{kind}: {question} ({right.sum()} photos are right)")
        measured[kind] = {"questions": len(questions), f"P@{FIRST}": float(np.mean(precisions))}
    total = sum(row["questions"] for row in measured.values())
    mean = sum(row["questions"] * row[f"P@{FIRST}"] for row in measured.values()) / total
    measured["all"] = {"questions": total, f"P@{FIRST}": mean}
    return {"photos": len(examples), "by kind": measured, "none right": worst}


class Captions:
    """The captions of examples, to be searched by rules."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples
        self._all = [caption.replace("\n", " ").lower() for example in examples for caption in example.captions]
        self._owners = np.repeat(np.arange(len(examples)), [len(example.captions) for example in examples])
        self._starts = np.cumsum([0, *(len(caption) + 1 for caption in self._all)])
        self._text = "\n".join(self._all)
        self._grey: npt.NDArray[np.bool_] | None = None

    def saying(self, rule: str) -> Int64Array:
        """How many captions of each example fit the rule, `[n]`; for `@grey` alone, 1 where the photo is grey."""
        counts = np.zeros((rule.count(" or ") + 1, len(self._examples)), np.int64)
        for row, either in zip(counts, rule.split(" or "), strict=True):
            words = [word for word in either.split() if word != GREY]
            holding = np.ones(len(self._all), bool)
            for word in words:
                holding &= self._holding(word)
            row[:] = np.bincount(self._owners[holding], minlength=len(row)) if words else 1
            if GREY in either.split():
                row *= self._are_grey()
        most: Int64Array = counts.max(axis=0)
        return most

    def _holding(self, word: str) -> npt.NDArray[np.bool_]:
        """Which captions hold a word of a rule: one scan of all of them is 100 times quicker than one of each."""
        parts = [rf"(?:{'|'.join(map(re.escape, part.split('|')))})(?:s|es)?" for part in word.split("_")]
        pattern = re.compile(rf"\b{_UP_TO_TWO_WORDS.join(parts)}\b")
        found = [match.start() for match in pattern.finditer(self._text)]
        holding = np.zeros(len(self._all), bool)
        holding[np.searchsorted(self._starts, found, "right") - 1] = True
        return holding

    def _are_grey(self) -> npt.NDArray[np.bool_]:
        if self._grey is None:
            self._grey = np.array([_colour(example) < GREY_BELOW for example in self._examples])
        return self._grey


def _colour_of(example: Example) -> str:
    with example.image() as image:
        return colour_of(image)


def _colour(example: Example) -> float:
    with example.image() as image:
        pixels = np.asarray(image.convert("RGB").reduce(2), np.int16)  # (h, w, 3)
    return float((pixels.max(axis=2) - pixels.min(axis=2)).mean())

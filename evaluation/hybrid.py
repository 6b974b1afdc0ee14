"""Search by words beside search by meaning: what it finds that the encoder cannot see, and what it costs where it can.

Three questions to a library of captioned photos. *Folders*: the photos lie in folders named after places that they do
not show, and "a dog in germany" means the dogs of that folder. *Rare words*: captions are indexed as texts, and a word
of one to five photos' captions means those photos. *Sentences*: one caption of each photo is kept out and asked for,
with the others indexed, and without any, and once more after the words in the photos were read (where `descry[ocr]` is
there): there, words can only do harm.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from evaluation.arithmetic import naming
from evaluation.datasets import DataError, Example
from indexer.encoders import Encoder
from indexer.library import Library
from indexer.ocr import read_words
from indexer.pipeline import index_sources
from search.engine import Engine
from search.query import Query, Term

PLACES = ("Germany", "Norway2019", "Lisbon", "Grandma Elsie", "Kyoto-trip", "Wedding Paul", "Marrakesh", "Tofino")

# A thing is asked for in a place if so many photos there show it.
SHOWN = 5

RARE = range(1, 6)
FIRST = 10


def hybrid(encoder: Encoder, examples: Sequence[Example]) -> dict[str, Any]:
    """Precision and recall at 10 without and with words, in means over the questions of each kind."""
    with TemporaryDirectory(prefix="descry-hybrid-") as folder:
        root = Path(folder)
        places = _lay_out(root / "photos", examples)
        with Library.create(root / "library", encoder) as library:
            index_sources(library, [root / "photos"], encoder)
            engine = Engine(library, encoder)
            table = {
                "folders": _measured(engine, dict(_folder_questions(examples, places))),
                "sentences, no captions indexed": _measured(engine, _sentences(examples, places)),
            }
            if find_spec("ocrust"):
                read_words(library)
                table["sentences, words in photos read"] = _measured(engine, _sentences(examples, places))
            _write_captions(root / "captions.jsonl", examples, places)
            index_sources(library, [root / "captions.jsonl"], encoder)
            table |= {
                "rare words, captions indexed": _measured(engine, _rare_words(examples, places)),
                "sentences, other captions indexed": _measured(engine, _sentences(examples, places)),
            }
    return {"photos": len(examples), **{f"{kind}: {way}": row for kind, rows in table.items() for way, row in rows}}


def _lay_out(root: Path, examples: Sequence[Example]) -> list[Path]:
    """The photos in folders named after places, dealt out in turn: where each lies."""
    places = []
    for number, example in enumerate(examples):
        if not isinstance(example.photo, Path):
            raise DataError(f"{example.where}: a photo in an archive has no folder; take a set of files.")
        place = root / PLACES[number % len(PLACES)] / f"{number:05}{example.photo.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(example.photo.resolve())
        places.append(place)
    return places


def _write_captions(path: Path, examples: Sequence[Example], places: Sequence[Path]) -> None:
    """All captions but the first, which is what is asked for."""
    rows = [
        {"image": str(place), "captions": example.captions[1:]} for example, place in zip(examples, places, strict=True)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def _folder_questions(examples: Sequence[Example], places: Sequence[Path]) -> Iterator[tuple[str, set[Path]]]:
    for place in PLACES:
        word = re.findall(r"[A-Za-z]+", place)[0].lower()
        for thing, shown in naming(examples).items():
            wanted = {path for path, shows in zip(places, shown, strict=True) if shows and path.parent.name == place}
            if len(wanted) >= SHOWN:
                yield f"{thing} {word}", wanted


def _rare_words(examples: Sequence[Example], places: Sequence[Path]) -> dict[str, set[Path]]:
    holders: dict[str, set[Path]] = {}
    for example, place in zip(examples, places, strict=True):
        for word in set(re.findall(r"[a-z]{4,}", " ".join(example.captions[1:]).lower())):
            holders.setdefault(word, set()).add(place)
    return {word: wanted for word, wanted in sorted(holders.items()) if len(wanted) in RARE}


def _sentences(examples: Sequence[Example], places: Sequence[Path]) -> dict[str, set[Path]]:
    return {example.captions[0]: {place} for example, place in zip(examples, places, strict=True)}


def _measured(engine: Engine, questions: Mapping[str, set[Path]]) -> list[tuple[str, dict[str, float]]]:
    return [
        (way, _precision_and_recall(engine, questions, by_words=by_words))
        for way, by_words in (("by meaning", False), ("by words that few hold", None), ("by meaning and words", True))
    ]


def _precision_and_recall(
    engine: Engine, questions: Mapping[str, set[Path]], *, by_words: bool | None
) -> dict[str, float]:
    found = engine.search_many([Query((Term("text", words),), k=FIRST, by_words=by_words) for words in questions])
    right = [[hit.item.path in wanted for hit in hits] for hits, wanted in zip(found, questions.values(), strict=True)]
    possible = [min(FIRST, len(wanted)) for wanted in questions.values()]
    return {
        "questions": len(questions),
        "first is right": float(np.mean([hits[0] for hits in right])),
        f"of {FIRST} possible": float(np.mean([sum(hits) / most for hits, most in zip(right, possible, strict=True)])),
    }

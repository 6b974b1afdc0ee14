"""Queries with one right photo each: the demo's, and everyday words over labelled photos."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.datasets import DataError, Example, embed_photos
from indexer.encoders import Encoder
from indexer.photos.opening import open_photo
from search.prompts import embed_texts

HERE = Path(__file__).parent


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

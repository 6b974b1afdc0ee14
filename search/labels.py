"""The lines of a file ranked by how well they fit a photo: describing it without a library of sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from indexer.errors import QueryError, SourceError
from indexer.items import Float32Array, Item
from indexer.texts import open_text, short_lines
from search.engine import Engine
from search.hits import Hit
from search.languages import in_any_language
from search.query import Query


def ranker(labels: Path) -> Callable[[Engine, Sequence[Query]], list[list[Hit]]]:
    """What finds the lines of `labels` instead of the library's items. Raises `QueryError` if it holds none."""
    items = [Item("text", labels, f"l{number}", line) for number, line in read_labels(labels)]

    vectors: Float32Array | None = None  # of the lines, made once however many photos are asked about

    def rank(engine: Engine, queries: Sequence[Query]) -> list[list[Hit]]:
        nonlocal vectors
        if vectors is None:
            embed = partial(engine.encoder.embed, "text")
            vectors = in_any_language(engine.encoder, [item.text for item in items], embed)
        scores = engine.embed(queries) @ vectors.T  # (queries, dim) @ (dim, labels)
        best = np.argsort(-scores, axis=1, kind="stable")
        return [
            [Hit(items[i], float(row[i])) for i in order[: query.k]]
            for query, row, order in zip(queries, scores, best, strict=True)
        ]

    return rank


def read_labels(labels: Path) -> list[tuple[int, str]]:
    """The lines that say something, each with its number in the file. Raises `QueryError` if there is none."""
    try:
        with open_text(labels) as text:
            read = [(number, line.strip()) for number, line in short_lines(text)]
    except (OSError, SourceError) as error:
        raise QueryError(f"The labels {labels} cannot be read ({error}).") from error
    told = [(number, label) for number, label in read if label]
    if not told:
        raise QueryError(f"The labels {labels} are empty: write one a line.")
    return told

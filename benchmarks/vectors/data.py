"""The vectors that all engines search, and questions with their true answers, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.vectors.base import PIECE, Data, Float32Array, Int64Array, K
from evaluation.synthetic import Clustered

QUESTIONS = 400

# How far a question that is like a vector lies from it: a photo's crop, in the vector's length.
NEAR = 0.4


def make(folder: Path, count: int, dimension: int) -> Data:
    """Vectors in clusters; questions `aside` of them all, as sentences lie aside from photos, and `near` to some.

    Nothing is made anew that is there already, and what is there is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data, recipe = Data(folder), Clustered(dimension)
    if not (folder / "rows.npy").is_file():
        whole = folder / "rows.part.npy"
        rows = np.lib.format.open_memmap(whole, "w+", np.float32, (count, dimension))
        for number, piece in enumerate(recipe.rows(count)):
            rows[number * PIECE : number * PIECE + len(piece)] = piece
        rows.flush()
        whole.rename(folder / "rows.npy")
    questions = {"aside": recipe.questions(QUESTIONS, count), "near": _near(data)}
    for kind, asked in questions.items():
        if not (folder / f"{kind}-truth.npy").is_file():
            np.save(folder / f"{kind}.npy", asked)
            part = folder / f"{kind}-truth.part.npy"
            np.save(part, nearest(data, asked))
            part.rename(folder / f"{kind}-truth.npy")
    return data


def _near(data: Data) -> Float32Array:
    chance = np.random.default_rng(3)
    rows = data.rows()
    chosen = rows[np.sort(chance.choice(len(rows), min(QUESTIONS, len(rows)), replace=False))]
    moved = chosen + np.float32(NEAR / np.sqrt(rows.shape[1])) * chance.standard_normal(chosen.shape, np.float32)
    unit: Float32Array = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return unit


def nearest(data: Data, questions: Float32Array) -> Int64Array:
    """The places `[q, K]` of the nearest vectors, the nearest first, by looking at all."""
    scores = np.full((len(questions), K), -np.inf, np.float32)
    places = np.full((len(questions), K), -1, np.int64)
    for ids, rows in data.pieces():
        merged = np.hstack([scores, questions @ rows.T])
        known = np.hstack([places, np.broadcast_to(ids, (len(questions), len(ids)))])
        best = np.argsort(-merged, axis=1, kind="stable")[:, :K]
        scores, places = np.take_along_axis(merged, best, 1), np.take_along_axis(known, best, 1)
    return places

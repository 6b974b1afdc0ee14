"""What a student learns from: any encoder, or a classifier on an encoder's photo vectors. Asked once for each thing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor

from evaluation.class_names import phrases
from evaluation.datasets import DataError, Example
from indexer.encoders import Encoder
from indexer.items import Float32Array
from training.pairs import prepared, remembered

# A teacher's vectors are computed a few photos at a time, as its towers are served.
PORTION = 32


class EncoderTeacher:
    """An encoder's vectors of the training photos and of sentences."""

    def __init__(self, encoder: Encoder, examples: Sequence[Example]) -> None:
        self.dimension = encoder.dimension
        self._encoder, self._examples = encoder, examples
        self._rows: dict[int, Tensor] = {}
        self.sentences = remembered(self._embed_sentences)

    def photos(self, rows: Sequence[int]) -> Tensor:
        """Unit rows `[n, dimension]` of the photos in these rows of the training data, not cropped or lit anew."""
        tower = self._encoder.tower("image")
        new = [row for row in rows if row not in self._rows]
        for start in range(0, len(new), PORTION):
            portion = new[start : start + PORTION]
            vectors = tower.embed([prepared(self._examples[row], tower.prepare) for row in portion])
            self._rows.update(zip(portion, torch.from_numpy(vectors), strict=True))
        return torch.stack([self._rows[row] for row in rows])

    def _embed_sentences(self, sentences: Sequence[str]) -> Tensor:
        return torch.from_numpy(self._encoder.embed("text", list(sentences)))


class ClassifierTeacher:
    """A linear classifier on an encoder's photo vectors; `names` are its classes as people say them."""

    def __init__(self, encoder: EncoderTeacher, weight: Float32Array, bias: Float32Array, names: Sequence[str]) -> None:
        self._encoder = encoder
        self._weight, self._bias = torch.from_numpy(weight), torch.from_numpy(bias)
        self.names = tuple(names)

    def probabilities(self, rows: Sequence[int], temperature: float = 1.0) -> Tensor:
        """How likely each class is for the photos in these rows, `[n, classes]`."""
        logits = self._encoder.photos(rows) @ self._weight.T + self._bias
        return (logits / temperature).softmax(dim=1)


def read_classifier(encoder: EncoderTeacher, weights: Path, classes: Path) -> ClassifierTeacher:
    """A classifier from its two files. Raises `DataError` naming the file (and line) that is wrong."""
    names = _class_names(classes)
    try:
        arrays = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{weights}: cannot be read as safetensors ({error}).") from error
    weight = np.asarray(arrays.get("weight", np.zeros((0, 0))), np.float32)
    if weight.shape != (len(names), encoder.dimension):
        raise DataError(
            f"{weights}: `weight` is {list(weight.shape)}, but {classes} names {len(names)} classes and the teacher has"
            f" {encoder.dimension} dimensions; give the head of this encoder with its own class names."
        )
    bias = np.asarray(arrays.get("bias", np.zeros(len(names))), np.float32)
    return ClassifierTeacher(encoder, weight, bias, names)


def _class_names(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or not phrases(line.strip()):
            raise DataError(f"{path}:{number}: no class name that says something; one a line is expected.")
    if len(set(lines)) < 2:
        raise DataError(f"{path}: fewer than two classes; there is nothing to tell apart.")
    return [phrases(line.strip())[0] for line in lines]

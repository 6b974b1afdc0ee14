"""What a step of training lowers: a weighted sum of pure losses, some of which ask a teacher."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor, nn
from torch.nn import functional

from evaluation.classify import phrases
from evaluation.datasets import DataError, Example
from indexer.encoders import Encoder
from indexer.items import Float32Array
from training import losses
from training.data import Batch, prepared, remembered
from training.models import Similarity
from training.settings import Contrast, Teaching

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
    names = [phrases(line.strip()) if line.strip() else () for line in lines]
    if () in (said := [tuple(one) for one in names]):
        raise DataError(f"{path}:{said.index(()) + 1}: no class name that says something; one a line is expected.")
    if len(set(lines)) < 2:
        raise DataError(f"{path}: fewer than two classes; there is nothing to tell apart.")
    return [one[0] for one in said]


# Where similarity begins if the model does not bring it: CLIP's 1/0.07, and SigLIP's 10 and -10.
BEGINNINGS = {"infonce": Similarity(1 / 0.07), "sigmoid": Similarity(10.0, -10.0)}


class Objective(nn.Module):
    """The losses of a batch, each times its weight, and a learned inverse temperature and bias.

    `pairs` is the contrastive loss. A teacher has `teaching.alpha` of the whole: `similarities` says who is near whom,
    `features` where photos and sentences are (a linear map bridges other dimensions), `names` which class names fit, as
    a classifier sees it.
    """

    def __init__(
        self,
        contrast: Contrast,
        start: Similarity | None,
        *,
        dimension: int,
        teaching: Teaching | None = None,
        teacher: EncoderTeacher | None = None,
        classifier: ClassifierTeacher | None = None,
    ) -> None:
        super().__init__()
        begin = BEGINNINGS[contrast.loss]
        scale = start.scale if start else begin.scale
        bias = start.bias if start and start.bias is not None else begin.bias
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(bias or 0.0), requires_grad=begin.bias is not None)
        self.bridge: nn.Module = nn.Identity()
        self._sharpest = max(math.log(contrast.sharpest), math.log(scale))
        self._loss, self._teacher, self._classifier = contrast.loss, teacher, classifier
        self.weights = {"pairs": 1.0}
        if teaching is not None and teacher is not None:
            self._teaching = teaching
            taught = {"similarities": teaching.similarities, "features": teaching.features}
            taught |= {"names": teaching.names} if classifier else {}
            taught = {name: teaching.alpha * weight for name, weight in taught.items() if weight}
            self.weights = {"pairs": 1 - teaching.alpha if taught else 1.0, **taught}
            if dimension != teacher.dimension and teaching.features:
                self.bridge = nn.Linear(dimension, teacher.dimension, bias=False)

    @property
    def similarity(self) -> Similarity:
        """What was learned of scale and bias."""
        return Similarity(self._scale.item(), self.bias.item() if self.bias.requires_grad else None)

    @property
    def _scale(self) -> Tensor:
        return self.log_scale.clamp(max=self._sharpest).exp()

    def wanted(self, batch: Batch) -> list[str]:
        """Sentences beyond the batch's own whose vectors are needed: the likeliest class names."""
        if self._classifier is None or "names" not in self.weights:
            return []
        return [self._classifier.names[number] for number in self._likeliest(self._classifier, batch).tolist()]

    def _likeliest(self, classifier: ClassifierTeacher, batch: Batch) -> Tensor:
        mean = classifier.probabilities(batch.rows, self._teaching.temperature).mean(dim=0)
        return mean.topk(min(self._teaching.names_a_step, len(mean))).indices

    def forward(self, batch: Batch, photos: Tensor, sentences: Tensor) -> dict[str, Tensor]:
        """The weighted losses by name, from unit rows `[n, dim]` of photos and `[m, dim]` of sentences.

        `sentences` are the batch's own and behind them those that were `wanted`.
        """
        own, names = sentences[: len(batch.sentences)], sentences[len(batch.sentences) :]
        logits = self._scale * own @ photos.T
        owners, ignored = batch.owners.to(photos.device), batch.ignored.to(photos.device)
        found = {
            "pairs": losses.sigmoid(logits + self.bias, owners, ignored)
            if self._loss == "sigmoid"
            else losses.contrastive(logits, owners, ignored)
        }
        if self._teacher is not None:
            seen = self._teacher.photos(batch.rows).to(photos.device)
            said = self._teacher.sentences(batch.sentences).to(photos.device)
            theirs, temperature = self._teaching.scale * said @ seen.T, self._teaching.temperature
            found["similarities"] = losses.similarity_distillation(logits, theirs, temperature)
            matched = [
                losses.feature_matching(functional.normalize(self.bridge(ours), dim=-1), right)
                for ours, right in ((photos, seen), (own, said))
                if "features" in self.weights
            ]
            found["features"] = torch.stack(matched).mean() if matched else logits.new_zeros(())
        if self._classifier is not None and len(names):
            targets = self._classifier.probabilities(batch.rows, self._teaching.temperature)
            targets = targets[:, self._likeliest(self._classifier, batch)].to(photos.device)
            found["names"] = losses.word_choice(self._scale * photos @ names.T, targets)
        return {name: weight * found[name] for name, weight in self.weights.items()}

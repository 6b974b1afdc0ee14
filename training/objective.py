"""What a step of training lowers: a weighted sum of terms around pure losses, some of which ask a teacher."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor, nn

from evaluation.class_names import phrases
from evaluation.datasets import DataError, Example
from indexer.encoders import Encoder
from indexer.items import Float32Array
from training import losses
from training.data import Batch, prepared, remembered
from training.models import Similarity
from training.settings import Contrast

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


@dataclass(frozen=True, slots=True)
class Step:
    """What the terms look at: a batch and its unit rows, `photos` `[n, dim]` and `sentences` `[m, dim]`.

    `further` are the unit rows `[k, dim]` of the sentences that a term asked for beyond the batch's own; `scale` is
    the inverse temperature and `bias` what is added.
    """

    batch: Batch
    photos: Tensor
    sentences: Tensor
    further: Tensor
    scale: Tensor
    bias: Tensor

    @property
    def logits(self) -> Tensor:
        """`[m, n]`: scaled cosines, without the bias."""
        return self.scale * self.sentences @ self.photos.T


class Pairs(nn.Module):
    """The contrastive term."""

    name = "pairs"

    def __init__(self, loss: str) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, step: Step) -> Tensor:
        """The loss of the batch's pairs."""
        owners, ignored = (value.to(step.photos.device) for value in (step.batch.owners, step.batch.ignored))
        if self.loss == "sigmoid":
            return losses.sigmoid(step.logits + step.bias, owners, ignored)
        return losses.contrastive(step.logits, owners, ignored)


# Where similarity begins if the model does not bring it: CLIP's 1/0.07, and SigLIP's 10 and -10.
BEGINNINGS = {"infonce": Similarity(1 / 0.07), "sigmoid": Similarity(10.0, -10.0)}


class Similarities(nn.Module):
    """Who is near whom, as the teacher sees it."""

    name = "similarities"

    def __init__(self, teacher: EncoderTeacher, *, scale: float, temperature: float) -> None:
        super().__init__()
        self._teacher, self._scale, self._temperature = teacher, scale, temperature

    def forward(self, step: Step) -> Tensor:
        """The divergence from the teacher's distributions."""
        photos, sentences = self._teacher.photos(step.batch.rows), self._teacher.sentences(step.batch.sentences)
        theirs = (self._scale * sentences @ photos.T).to(step.photos.device)
        return losses.similarity_distillation(step.logits, theirs, self._temperature)


class Features(nn.Module):
    """Where photos and sentences are, as the teacher sees it; a linear map bridges other dimensions."""

    name = "features"

    def __init__(self, teacher: EncoderTeacher, dimension: int) -> None:
        super().__init__()
        self._teacher = teacher
        same = dimension == teacher.dimension
        self.bridge: nn.Module = nn.Identity() if same else nn.Linear(dimension, teacher.dimension, bias=False)

    def forward(self, step: Step) -> Tensor:
        """The mean distance of both sides from the teacher's vectors."""
        pairs = (
            (step.photos, self._teacher.photos(step.batch.rows)),
            (step.sentences, self._teacher.sentences(step.batch.sentences)),
        )
        matched = [
            losses.feature_matching(nn.functional.normalize(self.bridge(ours), dim=-1), theirs.to(ours.device))
            for ours, theirs in pairs
        ]
        return torch.stack(matched).mean()


class Names(nn.Module):
    """Which class names fit, as a classifier sees it."""

    name = "names"

    def __init__(self, teacher: ClassifierTeacher, *, a_step: int, temperature: float) -> None:
        super().__init__()
        self._teacher, self._a_step, self._temperature = teacher, a_step, temperature

    def wanted(self, batch: Batch) -> list[str]:
        """The names that this batch is asked about: the likeliest."""
        return [self._teacher.names[i] for i in self._likeliest(batch).tolist()]

    def forward(self, step: Step) -> Tensor:
        """The cross-entropy between the student's choice of a name and the classifier's."""
        likely = self._likeliest(step.batch)
        targets = self._teacher.probabilities(step.batch.rows, self._temperature)[:, likely].to(step.photos.device)
        logits = step.scale * step.photos @ step.further.T
        return losses.word_choice(logits, targets)

    def _likeliest(self, batch: Batch) -> Tensor:
        mean = self._teacher.probabilities(batch.rows, self._temperature).mean(dim=0)
        return mean.topk(min(self._a_step, len(mean))).indices


Term = Pairs | Similarities | Features | Names


class Objective(nn.Module):
    """Terms by weight, and what all of them share: a learned inverse temperature and bias."""

    def __init__(self, terms: Sequence[tuple[float, Term]], contrast: Contrast, start: Similarity | None) -> None:
        super().__init__()
        begin = BEGINNINGS[contrast.loss]
        scale = start.scale if start else begin.scale
        bias = start.bias if start and start.bias is not None else begin.bias
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(bias or 0.0), requires_grad=begin.bias is not None)
        self.terms = nn.ModuleDict({term.name: term for _, term in terms})
        self._weights = {term.name: weight for weight, term in terms}
        self._sharpest = max(math.log(contrast.sharpest), math.log(scale))

    @property
    def similarity(self) -> Similarity:
        """What was learned of scale and bias."""
        return Similarity(self._scale.item(), self.bias.item() if self.bias.requires_grad else None)

    @property
    def _scale(self) -> Tensor:
        return self.log_scale.clamp(max=self._sharpest).exp()

    def wanted(self, batch: Batch) -> list[str]:
        """Sentences beyond the batch's own that a term needs vectors of."""
        return [sentence for term in self.terms.values() if isinstance(term, Names) for sentence in term.wanted(batch)]

    def forward(self, batch: Batch, photos: Tensor, sentences: Tensor) -> dict[str, Tensor]:
        """The weighted losses by name; `sentences` are the batch's own and behind them those that were wanted."""
        own = len(batch.sentences)
        step = Step(batch, photos, sentences[:own], sentences[own:], self._scale, self.bias)
        return {name: self._weights[name] * term(step) for name, term in self.terms.items()}

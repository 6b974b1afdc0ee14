"""What a step of training lowers: a weighted sum of terms, each a small module around a pure loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training import losses
from training.models.base import Similarity
from training.pairs import Batch
from training.settings import Contrast
from training.teachers import ClassifierTeacher, EncoderTeacher


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
        return PAIR_LOSSES[self.loss](step, owners, ignored)


PAIR_LOSSES: Mapping[str, Callable[[Step, Tensor, Tensor], Tensor]] = {
    "infonce": lambda step, owners, ignored: losses.contrastive(step.logits, owners, ignored),
    "sigmoid": lambda step, owners, ignored: losses.sigmoid(step.logits + step.bias, owners, ignored),
}

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

"""The objectives of training as pure functions of similarities: no state, no devices, no logging."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive(
    logits: Tensor,
    owners: Tensor,
    ignored: Tensor,
    *,
    wrong_photos: Tensor | None = None,
    wrong_sentences: Tensor | None = None,
) -> Tensor:
    """InfoNCE between sentences and photos, averaged over both directions.

    `logits` `[sentences, photos]`; `owners` `[sentences]` is the photo of each sentence; where `ignored`
    `[sentences, photos]` is true a sentence also happens to fit a photo that is not its own: neither right nor wrong.
    `wrong_photos` `[sentences, p]` and `wrong_sentences` `[photos, s]` are logits of further wrong answers from
    outside the batch, -inf where one is no wrong answer.
    """
    own = _own(owners, ignored)
    logits = logits.masked_fill(ignored & ~own, float("-inf"))
    from_text = functional.cross_entropy(_beside(logits, wrong_photos), owners)
    return (from_text + _each_positive_nce(logits.T, own.T, wrong_sentences)) / 2


def _own(owners: Tensor, like: Tensor) -> Tensor:
    own = torch.zeros_like(like)
    own[torch.arange(len(owners)), owners] = True
    return own


def _beside(logits: Tensor, further: Tensor | None) -> Tensor:
    return logits if further is None else torch.cat([logits, further], dim=1)


def _each_positive_nce(logits: Tensor, positives: Tensor, further: Tensor | None = None) -> Tensor:
    """InfoNCE where each right column competes with the wrong ones only, averaged over all right columns.

    A photo with five sentences is asked for all five, not for any one of them. `further` `[n, s]` are more wrong ones.
    """
    counts = positives.sum(dim=1)
    others = _beside(logits.masked_fill(positives, float("-inf")), further)
    wrong = torch.logsumexp(others, dim=1, keepdim=True)  # (n, 1)
    per_pair = functional.softplus((wrong - logits).masked_fill(~positives, float("-inf")))
    weights = positives.to(logits.dtype) / counts.clamp(min=1)[:, None].to(logits.dtype)
    return (per_pair * weights).sum() / (counts > 0).sum().clamp(min=1)


def word_choice(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy between a photo's choice among words and what is true of it.

    `logits` `[n, words]`, `targets` `[n, words]` with rows that sum to at most 1: a row counts by its sum, so that a
    photo which the words hardly describe hardly counts. Up to a constant this is the Kullback-Leibler divergence of
    knowledge distillation (Hinton et al., 2015).
    """
    targets = targets.to(logits.dtype)
    return -(targets * functional.log_softmax(logits, dim=1)).sum() / targets.sum().clamp(min=1e-6)


def sigmoid(logits: Tensor, owners: Tensor, ignored: Tensor) -> Tensor:
    """The sigmoid loss of SigLIP (Zhai et al., 2023): every pair is a yes-or-no question of its own.

    `logits` `[sentences, photos]` are similarities times an inverse temperature plus a bias, `owners` and `ignored`
    as in `contrastive`. The sum over pairs, a sentence: with one sentence a photo open_clip's.
    """
    own = _own(owners, ignored)
    signs = torch.where(own, 1.0, -1.0).to(logits.dtype)
    per_pair = -functional.logsigmoid(signs * logits).masked_fill(ignored & ~own, 0.0)
    return per_pair.sum() / len(logits)


def similarity_distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """How far a student's distributions over the other side are from its teacher's, averaged over both directions.

    Both are logits `[sentences, photos]`. The Kullback-Leibler divergence of each row and of each column, softened and
    multiplied by the temperature's square as Hinton et al. (2015) do; 0 where student and teacher agree.
    """
    each_way = [
        functional.kl_div(
            functional.log_softmax(ours / temperature, dim=1),
            functional.log_softmax(theirs / temperature, dim=1),
            log_target=True,
            reduction="batchmean",
        )
        for ours, theirs in ((student, teacher), (student.T, teacher.T))
    ]
    return temperature**2 * torch.stack(each_way).mean()


def feature_matching(student: Tensor, teacher: Tensor) -> Tensor:
    """How far a student's unit rows `[n, dim]` point from its teacher's: the mean of 1 - cosine, in 0..2."""
    return 1 - (student * teacher).sum(dim=1).mean()

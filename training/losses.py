"""The objectives of training as pure functions of similarities: no state, no devices, no logging."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def multi_positive_nce(logits: Tensor, positives: Tensor) -> Tensor:
    """InfoNCE where a row may have several right columns: the mean over rows of -log(sum of right / sum of all).

    `logits` `[n, m]` are similarities times an inverse temperature, `positives` `[n, m]` is true where row and column
    belong together; rows without a right column do not count. With one right column a row this is the cross-entropy
    of van den Oord et al. (2018); the sum inside the logarithm lets a row be satisfied by any of its own.
    """
    counted = positives.any(dim=1)
    right = logits.masked_fill(~positives, float("-inf"))[counted]
    per_row = torch.logsumexp(logits[counted], dim=1) - torch.logsumexp(right, dim=1)
    return per_row.sum() / counted.sum().clamp(min=1)


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
    own = torch.zeros_like(ignored)
    own[torch.arange(len(owners)), owners] = True
    logits = logits.masked_fill(ignored & ~own, float("-inf"))
    from_text = functional.cross_entropy(_beside(logits, wrong_photos), owners)
    return (from_text + _each_positive_nce(logits.T, own.T, wrong_sentences)) / 2


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

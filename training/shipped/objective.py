"""The weighted sum of losses that a step of training lowers, the same in every stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.losses import contrastive, word_choice
from training.shipped.batches import Batch
from training.shipped.memory import Memory

Embed = Callable[[Sequence[str]], Tensor]

# CLIP's bound on the inverse temperature: beyond it training on a few ten thousand photos only memorises.
SHARPEST = 100.0


@dataclass(frozen=True)
class Weights:
    """How much each loss counts: captions against photos, words of each vocabulary, captions against captions."""

    captions: float = 1.0
    words: float = 1.0
    paraphrases: float = 1.0


class Objective(nn.Module):
    """The losses and what they learn themselves: an inverse temperature each."""

    def __init__(self, weights: Weights, *, start: float = 15.0) -> None:
        super().__init__()
        self.weights = weights
        names = ("captions", "words", "paraphrases")
        self.scales = nn.ParameterDict({name: nn.Parameter(torch.tensor(math.log(start))) for name in names})

    def scale(self, name: str) -> Tensor:
        """The inverse temperature of one loss."""
        bounded: Tensor = self.scales[name].clamp(max=math.log(SHARPEST))
        return bounded.exp()

    def photos(self, batch: Batch, photos: Tensor, embed: Embed, memory: Memory | None = None) -> dict[str, Tensor]:
        """Losses of a batch whose photos have the unit rows `photos` `[n, dim]`; `embed` gives those of sentences.

        What a `memory` holds are further wrong answers; what the batch has of captioned photos it will hold.
        """
        sentences, scale = embed(batch.sentences), self.scale("captions")
        further = memory.wrong(batch, photos, sentences, scale) if memory is not None else {}
        loss = contrastive(scale * sentences @ photos.T, batch.owners, batch.ignored, **further)
        losses = {"captions": self.weights.captions * loss}
        if not batch.choices:
            return losses
        words = embed([sentence for choice in batch.choices for sentence in choice.sentences])
        start = 0
        for choice in batch.choices:
            end = start + len(choice.sentences)
            # A vocabulary counts by how much of the batch it describes.
            described = choice.targets.sum() / len(choice.targets)
            loss = word_choice(self.scale("words") * photos @ words[start:end].T, choice.targets)
            losses[choice.name] = self.weights.words * described.clamp(max=1.0) * loss
            start = end
        return losses

    def paraphrases(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """The loss of sentences `[n, dim]` that say the same as each other's counterparts `[n, dim]`."""
        logits = self.scale("paraphrases") * first @ second.T
        right = torch.arange(len(logits))
        both = functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)
        return {"paraphrases": self.weights.paraphrases * both / 2}

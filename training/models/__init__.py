"""Models that can be trained: one file a family, one row a scheme, the same names as the encoders they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from indexer.encoders import ALIASES
from indexer.errors import UnknownEncoder
from indexer.photos.preprocessing import Preprocessing
from training.settings import ModelChoice

Free = int | str

# scheme -> the module whose `load(name, random)` makes a `Trainable`
FAMILIES = {"embedded": "training.models.embedded", "open_clip": "training.models.open_clip"}


@dataclass(frozen=True, slots=True)
class Similarity:
    """What is done to cosines before they are logits: an inverse temperature, and a bias where a loss has one."""

    scale: float
    bias: float | None = None


class Trainable(Protocol):
    """A dual encoder that learns.

    `image` and `text` hold the weights of its towers, `recipe` says how it wants its pictures, `similarity` is what
    its earlier training ended with, None if it is not known.
    """

    dimension: int
    recipe: Preprocessing
    image: nn.Module
    text: nn.Module
    similarity: Similarity | None

    def to(self, device: torch.device) -> None:
        """Moves all that it computes with to a device."""
        ...

    def free(self, *, image: Free, text: Free) -> None:
        """Lets "all", "none" or so many last groups of layers of each tower learn."""
        ...

    def tokens(self, sentences: Sequence[str]) -> Tensor:
        """Sentences as ids `[n, length]`."""
        ...

    def embed_photos(self, pixels: Tensor) -> Tensor:
        """Photos `[n, 3, size, size]` uint8 as unit rows `[n, dimension]` float32."""
        ...

    def embed_sentences(self, ids: Tensor) -> Tensor:
        """Ids as unit rows `[n, dimension]` float32."""
        ...

    def save(self, folder: Path, similarity: Similarity) -> str:
        """Writes an encoder's folder and gives the name by which `descry index --model` takes it."""
        ...


def free_last(groups: Sequence[nn.Module | nn.Parameter], free: Free) -> None:
    """Freezes all but the last groups of a tower, `groups` being in the order from input to output."""
    count = {"all": len(groups), "none": 0}.get(free, free) if isinstance(free, str) else free
    for position, group in enumerate(groups):
        group.requires_grad_(position >= len(groups) - int(count))


def load_model(choice: ModelChoice) -> Trainable:
    """The model of that name, on the CPU, with what shall not learn frozen.

    Raises `UnknownEncoder` or `EncoderUnavailable`, each with the remedy.
    """
    name = ALIASES.get(choice.name, choice.name)
    scheme = name.partition(":")[0]
    if scheme not in FAMILIES:
        raise UnknownEncoder(
            f"No model {choice.name!r} can be trained; there are {', '.join(FAMILIES)} (see the README)."
        )
    model: Trainable = import_module(FAMILIES[scheme]).load(name, random=choice.weights == "random")
    model.free(image=choice.image, text=choice.text)
    return model

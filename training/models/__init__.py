"""Models that can be trained: one file a family, one row a scheme, the same names as the encoders they become."""

from __future__ import annotations

from importlib import import_module

from indexer.encoders import ALIASES
from indexer.errors import UnknownEncoder
from training.models.base import Trainable
from training.settings import ModelChoice

# scheme -> the module whose `load(choice)` makes a `Trainable`
FAMILIES = {
    "embedded": "training.models.embedded",
    "open_clip": "training.models.open_clip",
}


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

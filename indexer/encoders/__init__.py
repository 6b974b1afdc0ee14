"""Encoders by name: one file a family, one row a scheme."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from indexer.encoders.base import Encoder, Tower, unit_rows
from indexer.encoders.models import MODELS
from indexer.errors import UnknownEncoder

__all__ = ["ALIASES", "DEFAULT", "SCHEMES", "Encoder", "Tower", "load_encoder", "load_text_tower", "unit_rows"]

DEFAULT = "embedded"

# scheme -> the module whose `load(name, device)` answers for it; imported only when it is asked for,
# because some of them import torch.
SCHEMES = {
    "embedded": "indexer.encoders.embedded",
    "open_clip": "indexer.encoders.open_clip",
    "ensemble": "indexer.encoders.ensemble",
}

# short name -> full name; what each costs and is worth stands in `indexer.encoders.models`.
ALIASES = {card.alias: card.name for card in MODELS if card.alias != card.name}


def load_encoder(name: str = DEFAULT, *, device: str = "auto") -> Encoder:
    """The encoder of that name, its towers not yet loaded.

    `name` is `embedded`, `open_clip:ARCH/PRETRAINED`, `open_clip:ARCH//path/to/checkpoint`, a local
    folder (`open_clip:/path/to/folder`), an alias, or several of them in an `ensemble:0.7:A+0.3:B`. `device` is
    `auto`, `cpu`, `cuda`, `mps`...
    Raises `UnknownEncoder` or `EncoderUnavailable`, each with the remedy.
    """
    name = ALIASES.get(name, name)
    scheme = name.partition(":")[0]
    if scheme not in SCHEMES:
        known = ", ".join([*SCHEMES, *ALIASES])
        raise UnknownEncoder(f"No encoder is called {name!r}; there are {known} (see `descry models`).")
    encoder: Encoder = import_module(SCHEMES[scheme]).load(name, device=device)
    return encoder


def load_text_tower(folder: Path) -> Tower:
    """The text tower that `Encoder.store_text` wrote to a folder, one encoder's or an ensemble's: without torch.

    Raises `EncoderUnavailable`, and `EncoderMismatch` if a member of an ensemble has other weights by now.
    """
    from indexer.encoders import ensemble, stored

    return ensemble.load_stored_ensemble(folder) if (folder / ensemble.STORED).is_file() else stored.load_stored(folder)

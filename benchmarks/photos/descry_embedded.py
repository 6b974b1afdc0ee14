"""Descry with the encoder that travels with it."""

from __future__ import annotations

from benchmarks.photos import descry
from benchmarks.photos.base import Place


class Peer(descry.Peer):
    """The same commands, another model."""

    def model(self, place: Place) -> str:  # noqa: ARG002  needs no weights
        """The default."""
        return "embedded"

"""Descry, as a user calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.photos.base import SENTENCE, K, Place
from benchmarks.photos.weights import ARCHITECTURE
from evaluation.speed.processes import Command, descry


class Peer:
    """With the weights of all."""

    def prepare(self, place: Place) -> None:
        """Nothing: it reads the checkpoint as it is."""

    def settings(self, place: Place) -> Mapping[str, str]:  # noqa: ARG002  its peers' settings need the place
        """Off-line, as everyone is here."""
        return {"HF_HUB_OFFLINE": "1"}

    def model(self, place: Place) -> str:
        """The encoder's name."""
        return f"open_clip:{ARCHITECTURE}/{place.weights}"

    def index(self, place: Place, photos: Path) -> Sequence[Command]:
        """One command."""
        return [descry("--library", place.store, "index", photos, "--model", self.model(place))]

    def ask(self, place: Place, photos: Path) -> Command:  # noqa: ARG002  its peers have no library to name
        """One command."""
        return descry("--library", place.store, "search", SENTENCE, "-k", str(K))

    def held(self, place: Place) -> Sequence[Path]:
        """The whole library; the text tower in it does not grow."""
        return [place.store]

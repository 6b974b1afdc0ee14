"""What a photo search engine has to do here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.environments import Environment
from evaluation.speed.processes import Command

SENTENCE = "two dogs playing in the snow"
K = 10


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer works: its environment, the weights of all, and a folder for what it stores of one run."""

    environment: Environment
    weights: Path
    store: Path


class Peer(Protocol):
    """A peer by its commands."""

    def prepare(self, place: Place) -> None:
        """Puts the weights where the peer looks for them, in its own form. Raises `CannotRun`."""

    def settings(self, place: Place) -> Mapping[str, str]:
        """Environment variables of all its commands."""

    def index(self, place: Place, photos: Path) -> Sequence[Command]:
        """The commands that index a folder, one after the other."""

    def ask(self, place: Place, photos: Path) -> Command:
        """The command that asks for `SENTENCE` from nothing, and prints the `K` nearest photos."""

    def held(self, place: Place) -> Sequence[Path]:
        """The files and folders that grow with the photos."""

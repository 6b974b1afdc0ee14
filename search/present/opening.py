"""Answers on the desktop: the page or folder that was made, else the photos, opened by whatever shows such files."""

from __future__ import annotations

from pathlib import Path

import click

from indexer.errors import PathError
from indexer.storage.files import Failure
from search.hits import why_unseen
from search.present.sinks import Answer, Chosen, Sink, check_alone

# Photos that are opened at most: each may get a window of its own.
OPENED = 10


class Opening(Sink):
    """Opens what the other sinks made; if they made nothing, the photos themselves, the best first."""

    def __init__(self) -> None:
        super().__init__()
        self._found: list[Path] = []

    def take(self, answer: Answer) -> None:
        """Remembers the files."""
        self._found += dict.fromkeys(hit.item.path for hit in answer.hits)

    def finish(self, made: list[Path]) -> str:
        """Opens them. Raises `PathError` if nothing on this machine does that."""
        unseen = {path: why_unseen(path) for path in self._found}
        there = [path for path, reason in unseen.items() if not reason]
        if not made:
            self.failures += [Failure(path, f"not opened: {reason}") for path, reason in unseen.items() if reason]
        for path in made or there[:OPENED]:
            if click.launch(str(path)) != 0:
                raise PathError(f"{path} cannot be opened: nothing on this machine says what opens such files.")
        left = len(there) - OPENED
        return f"the first {OPENED} are opened, {left} are not" if not made and left > 0 else ""


def open_sink(name: str, chosen: Chosen) -> Opening:
    """Raises `QueryError` for many questions whose answers nothing gathers."""
    if not chosen.values.keys() & {"html", "copy-to", "link-to"}:
        check_alone(name, chosen, "of many, --html FILE makes one page to open")
    return Opening()

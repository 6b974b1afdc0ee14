"""Where answers go beside what is printed: a new way out is a class and a row in `SINK_TYPES`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from indexer.errors import PathError, QueryError
from indexer.storage.files import Failure

if TYPE_CHECKING:
    from indexer.items import Item
    from search.hits import Hit

# Photos that are opened at most: each may get a window of its own.
OPENED = 10

# Players that are told by an option at which second to begin.
PLAYERS = {"mpv": "--start={:g}", "vlc": "--start-time={:g}"}


class Answer(NamedTuple):
    """A question as it was put, what was found, best first, and which of many questions it is, counted from 1."""

    question: str
    hits: Sequence[Hit]
    number: int = 1


class Sink(ABC):
    """Takes answers, and in the end says what it did with them. What could not be taken along is in `failures`.

    `value` is what its option was given, `many` says whether several questions will be answered.
    """

    def __init__(self, value: Any, *, many: bool = False) -> None:
        self.failures: list[Failure] = []
        self.value, self.many = value, many

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:  # noqa: B027  most begin nothing that would have to be cleared away
        """Clears away what was begun and not finished."""

    @abstractmethod
    def take(self, answer: Answer) -> None:
        """Takes one answer. Raises `PathError` where the disk refuses."""

    @abstractmethod
    def finish(self, made: list[Path]) -> str:
        """Puts what was taken in its place and says so ("" for nothing); `made` gains what somebody may look at."""


class Opening(Sink):
    """Opens what the other sinks made; if they made nothing, the photos themselves, the best first.

    Finishing raises `PathError` if nothing on this machine opens such files.
    """

    def __init__(self, value: Any, *, many: bool = False) -> None:
        super().__init__(value, many=many)
        self._found: dict[Path, Item] = {}  # of a film, the best shot

    def take(self, answer: Answer) -> None:
        for hit in answer.hits:
            self._found.setdefault(hit.item.path, hit.item)

    def finish(self, made: list[Path]) -> str:
        from search.hits import why_unseen

        unseen = {path: why_unseen(path) for path in self._found}
        there = [path for path, reason in unseen.items() if not reason]
        if not made:
            self.failures += [Failure(path, f"not opened: {reason}") for path, reason in unseen.items() if reason]
        for path in made or there[:OPENED]:
            if not (click.launch(str(path)) == 0 if made else _opened(self._found[path])):
                raise PathError(f"{path} cannot be opened: nothing on this machine says what opens such files.")
        left = len(there) - OPENED
        return f"the first {OPENED} are opened, {left} are not" if not made and left > 0 else ""


def _opened(item: Item) -> bool:
    """Opens an item's file; False if nothing does. A shot of a film plays from there, if need be in a browser."""
    import shutil  # late, as all of these: a question imports this file
    import subprocess
    import webbrowser

    from search.present.formats import address_of, second

    start = second(item)
    if start is None:
        return click.launch(str(item.path)) == 0
    for player, option in PLAYERS.items():
        if program := shutil.which(player):
            quiet = subprocess.DEVNULL
            subprocess.Popen([program, option.format(start), str(item.path)], stdout=quiet, stderr=quiet)
            return True
    return webbrowser.open(address_of(item))


class Row(NamedTuple):
    """A sink: its class and where that is, its option's help and value, and what to do instead with many questions.

    `alone` is "" for a sink that takes many questions; one that does not takes them `beside` those sinks.
    """

    home: str
    help: str
    metavar: str = ""
    alone: str = ""
    beside: tuple[str, ...] = ()


# In the order in which they take an answer and finish: what opens comes behind what makes.
SINK_TYPES: dict[str, Row] = {
    "copy-to": Row("folders.Copies", "Copy what is found into this folder, numbered in order.", "FOLDER"),
    "link-to": Row("folders.Links", "Put symbolic links to what is found into this folder.", "FOLDER"),
    "html": Row("sheet.Sheet", "Write a contact sheet: one page that holds its thumbnails.", "FILE"),
    "preview": Row("preview.Preview", "Show the photos in the terminal.", alone="--html FILE makes one page of many"),
    "open": Row(
        "sinks.Opening",
        "Open the sheet or folder that was made, else the photos, with the desktop's programs.",
        alone="of many, --html FILE makes one page to open",
        beside=("html", "copy-to", "link-to"),
    ),
}


class Sinks:
    """The sinks of a command, which all take every answer."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks
        self._taken = 0

    def take(self, question: str, hits: Sequence[Hit]) -> None:
        """Hands an answer to all."""
        self._taken += 1
        for sink in self._sinks:
            sink.take(Answer(question, hits, self._taken))

    def finish(self) -> tuple[list[str], list[Failure]]:
        """What the sinks did, a line each, and what could not be taken along."""
        made: list[Path] = []
        lines = [line for sink in self._sinks if (line := sink.finish(made))]
        return lines, [failure for sink in self._sinks for failure in sink.failures]


@contextmanager
def open_sinks(chosen: Mapping[str, Any], *, many: bool = False) -> Iterator[Sinks]:
    """The sinks that were chosen, each with its value, in the table's order, for one question or many.

    Raises `QueryError` or `PathError` for what cannot work.
    """
    with ExitStack() as stack:
        sinks = []
        for name, row in SINK_TYPES.items():
            if chosen.get(name):
                if many and row.alone and not chosen.keys() & row.beside:
                    raise QueryError(f"--{name} is for one question at a time: {row.alone}.")
                module, _, kind = row.home.partition(".")
                sink = getattr(import_module(f"search.present.{module}"), kind)(chosen[name], many=many)
                sinks.append(stack.enter_context(sink))
        yield Sinks(sinks)

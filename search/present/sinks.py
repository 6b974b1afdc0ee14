"""Where answers go beside what is printed: a new way out is a module here and a row in `SINK_TYPES`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from indexer.errors import QueryError
from indexer.storage.files import Failure

if TYPE_CHECKING:
    from search.hits import Hit


class Answer(NamedTuple):
    """A question as it was put, what was found, best first, and which of many questions it is, counted from 1."""

    question: str
    hits: Sequence[Hit]
    number: int = 1


class Chosen(NamedTuple):
    """The sinks that were asked for, each with its value, and whether many questions will be answered."""

    values: Mapping[str, Any]
    many: bool = False


class Sink(ABC):
    """Takes answers, and in the end says what it did with them. What could not be taken along is in `failures`."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []

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


class Row(NamedTuple):
    """A sink: its module, which has `open_sink(name, chosen)`, its option's help, and what it is given."""

    module: str
    help: str
    metavar: str = ""


# In the order in which they take an answer and finish: what opens comes behind what makes.
SINK_TYPES: dict[str, Row] = {
    "copy-to": Row("folders", "Copy what is found into this folder, numbered in order.", "FOLDER"),
    "link-to": Row("folders", "Put symbolic links to what is found into this folder.", "FOLDER"),
    "html": Row("sheet", "Write a contact sheet: one page that holds its thumbnails.", "FILE"),
    "preview": Row("preview", "Show the photos in the terminal."),
    "open": Row("opening", "Open the sheet or folder that was made, else the photos, with the desktop's programs."),
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
def open_sinks(chosen: Chosen) -> Iterator[Sinks]:
    """The chosen sinks, in the table's order. Raises `QueryError` or `PathError` for what cannot work."""
    with ExitStack() as stack:
        yield Sinks(
            [
                stack.enter_context(import_module(f"search.present.{row.module}").open_sink(name, chosen))
                for name, row in SINK_TYPES.items()
                if chosen.values.get(name)
            ]
        )


def check_alone(name: str, chosen: Chosen, remedy: str) -> None:
    """Raises `QueryError` if many questions are asked of an sink that is for one."""
    if chosen.many:
        raise QueryError(f"--{name} is for one question at a time: {remedy}.")

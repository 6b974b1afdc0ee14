"""`descry` without a command: a prompt that keeps the encoder loaded, so that every further question is quick.

What lines mean is in `search.conversation`; here they are read, answered and shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from indexer.errors import DescryError, QueryError
from indexer.library import Library
from search.conversation import REFINEMENTS, Conversation, breadcrumb, continuations, step
from search.engine import Engine
from search.hits import why_unseen
from search.no_results import why_empty
from search.present.formats import table
from search.present.sinks import open_sinks
from search.terminal import say, styled, visible, write

# How to see the nearest where nothing fits.
UNCUT = "'by relevance', and 'relevant' off, show the nearest"

# Lines of which as many lie in the catalog: more would only scroll by.
FOLDERS, TAGS = 200, 200


class Action(NamedTuple):
    """What a line can ask for that is no question: its form for people, what it does, and the function of its rest."""

    form: str
    help: str
    run: Callable[[Conversation, str], None]


class Completions(Completer):
    """Completes a line by what the conversation understands."""

    def __init__(self, folders: Iterable[str], tags: Iterable[str]) -> None:
        self._folders, self._tags = tuple(folders), tuple(tags)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:  # noqa: ARG002
        """The lines that this one can become, and the actions."""
        line = document.text_before_cursor
        for whole in (*continuations(line, folders=self._folders, tags=self._tags), *ACTIONS):
            if line and whole.startswith(line) and whole != line:
                yield Completion(whole, start_position=-len(line))


def converse(path: Path) -> None:
    """Reads lines and answers them until somebody leaves. Raises what opening a library raises."""
    with Library.open(path) as library:
        engine = Engine(library)
        session: PromptSession[str] = PromptSession(history=_history(), completer=_completions(library))
        counts = ", ".join(f"{count} {modality}s" for modality, count in library.catalog.counts().items())
        _tell(f"{library.path}: {counts or 'nothing yet'}. Say what you look for; help tells more, quit leaves.")
        engine.encoder.tower("text")  # loaded before it is waited for
        conversation = Conversation()
        while (line := _read(session)) is not None:
            if line:
                conversation = _turn(engine, conversation, line)


def _read(session: PromptSession[str]) -> str | None:
    """The next line; "" if it was taken back by Ctrl-C, None if somebody leaves."""
    try:
        line = session.prompt("descry> ").strip()
    except KeyboardInterrupt:
        return ""
    except EOFError:
        return None
    return None if line.lower() in LEAVE else line


def _turn(engine: Engine, conversation: Conversation, line: str) -> Conversation:
    """Answers a line; after one that cannot be answered the conversation is as it was."""
    try:
        word, _, rest = line.partition(" ")
        action = ACTIONS.get(word.lower())
        if action is not None and (not rest or rest.strip().isdigit()):
            action.run(conversation, rest.strip())
            return conversation
        return _answered(engine, step(conversation, line))
    except DescryError as error:
        say(str(error))
    except KeyboardInterrupt:
        say("Interrupted.")
    return conversation


def _answered(engine: Engine, conversation: Conversation) -> Conversation:
    conversation = conversation.answered(engine.search(conversation.query))
    write(styled(visible(breadcrumb(conversation.query)), dim=True) + "\n", safe=True)
    lines = table(conversation.hits).splitlines(keepends=True)[conversation.first :]
    if lines:
        write("".join(lines), safe=True)
    else:
        _tell("That was all." if conversation.first else f"{why_empty(engine, conversation.query, uncut=UNCUT)}.")
    return conversation


def _tell(line: str) -> None:
    write(f"{visible(line)}\n")


def _open(conversation: Conversation, number: str) -> None:
    path = conversation.hit(int(number or 1)).item.path
    if reason := why_unseen(path):
        raise QueryError(f"{path} cannot be opened: {reason}.")
    click.launch(str(path))


def _preview(conversation: Conversation, _: str) -> None:
    """Draws the hits that are shown in the terminal."""
    with open_sinks({"preview": True}) as sinks:
        sinks.take(conversation.query.words, conversation.hits[conversation.first :])
        sinks.finish()


def _help(_conversation: Conversation, _: str) -> None:
    rows = [("a dog on the beach", "a new question, as for `descry search`; also: find a dog on the beach")]
    rows += [(refinement.start + refinement.example, refinement.help) for refinement in REFINEMENTS]
    rows += [(action.form, action.help) for action in ACTIONS.values()]
    rows += [("quit", "leave; also Ctrl-D")]
    width = max(len(form) for form, _ in rows)
    write("".join(f"{form.ljust(width)}  {help}\n" for form, help in rows))


ACTIONS: dict[str, Action] = {
    "open": Action("open 2", "open a hit with the desktop's program", _open),
    "preview": Action("preview", "show the hits as pictures", _preview),
    "help": Action("help", "this", _help),
}

LEAVE = ("quit", "exit")


def _history() -> History:
    """The lines of earlier days, in the user's state directory; only of today where that cannot be written."""
    from platformdirs import user_state_path

    file = user_state_path("descry") / "history"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(file))


def _completions(library: Library) -> Completions:
    folders = (folder for root in library.catalog.files.roots() for folder in library.catalog.files.folders_under(root))
    named = sorted({str(folder) for folder in folders})[:FOLDERS]
    return Completions(named, list(library.catalog.tags.counts())[:TAGS])

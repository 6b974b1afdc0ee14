"""The command line: finds the command in `search.commands`, and turns whatever goes wrong into a line and an exit code.

Exit codes: 0 done; 1 done, but some files failed; 2 the request was wrong; 130 interrupted. A signal that ends it, or a
reader that goes away, gives 128 and the signal's number.
A command is imported when it is called, and imports what it needs when it runs, so that `--help` and a search by
sentence start at once.
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import click

from indexer.backends import is_address
from indexer.errors import DescryError, LibraryError, reason_of
from search.commands import COMMANDS
from search.terminal import BROKEN_PIPE, INTERRUPTED, say


class Refusal(NamedTuple):
    """What becomes of an error that nobody handled: the exit code, and the line that says it ("" for none)."""

    kind: type[BaseException]
    code: int
    line: Callable[[Any], str]


# The one place where errors become lines; the first row that fits.
REFUSALS = (
    Refusal(DescryError, 2, str),
    Refusal(KeyboardInterrupt, INTERRUPTED, lambda _: "Interrupted."),
    Refusal(click.Abort, INTERRUPTED, lambda _: "Interrupted."),
    Refusal(BrokenPipeError, BROKEN_PIPE, lambda _: ""),
    Refusal(sqlite3.Error, 2, lambda error: f"The library cannot be read ({error})."),
    Refusal(UnicodeError, 2, lambda error: f"What was given holds bytes that are no text: {_given(error)}."),
    Refusal(OSError, 2, lambda error: f"{_file(error)} cannot be used ({reason_of(error)})."),
    Refusal(MemoryError, 2, lambda _: "There is not enough memory for this."),
    Refusal(
        Exception,
        2,
        lambda error: (
            f"Descry itself failed ({type(error).__name__}: {error}): "
            "set DESCRY_TRACEBACK=1 to see where, and report it, please."
        ),
    ),
)


def _given(error: UnicodeError) -> str:
    return repr(error.object) if isinstance(error, UnicodeEncodeError | UnicodeDecodeError) else str(error)


def _file(error: OSError) -> str:
    return os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "A file"


def refused(error: BaseException) -> int:
    """Says on stderr what went wrong; the exit code."""
    if isinstance(error, click.ClickException):
        text = StringIO()
        error.show(text)
        say(*text.getvalue().splitlines())
        return error.exit_code
    if os.environ.get("DESCRY_TRACEBACK"):
        raise error
    row = next((row for row in REFUSALS if isinstance(error, row.kind)), None)
    if row is None:
        raise error
    line = row.line(error)
    if line:
        say(line if row.code == INTERRUPTED else f"Error: {line}")
    return row.code


class Commands(click.Group):
    """The commands by name, each loaded when it is asked for. Words that name none are searched for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """The names, in the order of `--help`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, which takes `--library` too; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"search.commands.{COMMANDS[cmd_name]}")
        command: click.Command = next(
            one for one in vars(module).values() if isinstance(one, click.Command) and one.name == cmd_name
        )
        if not any(parameter.name == "library" for parameter in command.params):
            command.params.append(_library_option(expose_value=False, callback=_use_library))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant, or the search for what is none; a misspelt one is told its nearest neighbour."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), 1)
            if _is_question(args) and not near:
                return "search", self.get_command(ctx, "search"), args
            meant = f"Did you mean {near[0]!r}?" if near else f"To look for it: descry search {args[0]!r}"
            raise click.UsageError(f"{error.message} {meant}", ctx) from error

    def main(self, *arguments: Any, standalone_mode: bool = True, **options: Any) -> Any:
        """Runs a command line; whatever goes wrong becomes a line and an exit code."""
        run: Callable[[], Any] = partial(super().main, *arguments, standalone_mode=False, **options)
        if not standalone_mode:
            return run()
        try:
            code = run()
        except SystemExit:
            raise
        except BaseException as error:
            code = refused(error)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; what click would end in its own words is ended in ours."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, BrokenPipeError) as error:
            raise click.exceptions.Exit(refused(error)) from error


def _is_question(args: list[str]) -> bool:
    """Whether a command line without a command is a question: several words, a file or an id."""
    several = len(args) > 1 and not args[1].startswith("-")
    first = args[0].strip()
    return several or bool(re.search(r"\s|^id:\d", first)) or (Path(first).suffix != "" and Path(first).is_file())


# What needs a library in a folder: it looks at all vectors at once, or keeps files beside them.
NOT_ON_SERVERS = frozenset(
    ["doctor", "duplicates", "export", "groups", "import", "map", "optimize", "reembed", "watch"]
)


class Place(click.Path):
    """A folder, or the address of a library on a server as it was given."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or the address as text."""
        return value if is_address(value) else super().convert(value, param, ctx)


def _library_option(**options: Any) -> click.Option:
    return click.Option(
        ["--library"],
        type=Place(path_type=Path),
        metavar="DIR",
        help="Where the library is: by default $DESCRY_LIBRARY, else in the user data directory.",
        **options,
    )


def _use_library(ctx: click.Context, _parameter: click.Parameter, value: Path | str | None) -> None:
    if value is not None:
        ctx.obj = value
    if isinstance(ctx.obj, str) and ctx.info_name in NOT_ON_SERVERS:
        raise LibraryError(f"`descry {ctx.info_name}` needs a library in a folder, not one on a server.")


def default_library() -> Path:
    """Where the library is if nobody says."""
    from platformdirs import user_data_path

    return user_data_path("descry") / "library"


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[_library_option(envvar="DESCRY_LIBRARY")],
)
@click.version_option(package_name="descry")
@click.pass_context
def main(ctx: click.Context, library: Path | str | None) -> None:
    """Find photos from sentences, sentences from photos, and photos like a photo.

    \b
    descry index ~/Photos
    descry search "a dog on the beach"
    descry similar dog.jpg

    In a terminal, without a command: a prompt to ask, look and refine.
    """
    ctx.obj = library or default_library()
    if ctx.invoked_subcommand is not None:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.exceptions.NoArgsIsHelpError(ctx)
    if isinstance(ctx.obj, str):
        raise LibraryError("The prompt needs a library in a folder: `descry search` asks one on a server.")
    from search.interactive import converse

    converse(ctx.obj)

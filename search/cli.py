"""The command line: finds the command in `search.commands` and turns refusals into a line and an exit code.

Exit codes: 0 done; 1 done, but some files failed; 2 the request was wrong; 130 interrupted.
A command is imported when it is called, and imports what it needs when it runs, so that `--help` and a search by
sentence start at once.
"""

from __future__ import annotations

import sqlite3
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from indexer.errors import DescryError
from search.commands import COMMANDS
from search.leaving import INTERRUPTED, leave


class Refused(click.ClickException):
    """What Descry refuses, as one line on stderr."""

    exit_code = 2


class Commands(click.Group):
    """The commands by name, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """The names, in the order of `--help`."""
        return [row.rstrip("_") for row in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name; None if there is none."""
        row = next((row for row in COMMANDS if row.rstrip("_") == cmd_name), None)
        if row is None:
            return None
        command: click.Command = getattr(import_module(f"search.commands.{row}"), row)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; of one that does not exist, the error names its nearest neighbour."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), 1)
            meant = "".join(f" Did you mean {name!r}?" for name in near)
            raise click.UsageError(f"{error.message}{meant}", ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; what is refused becomes one line and an exit code."""
        try:
            return super().invoke(ctx)
        except DescryError as error:
            raise Refused(str(error)) from error
        except sqlite3.Error as error:
            raise Refused(f"The library {ctx.obj} cannot be read ({error}).") from error
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            leave(INTERRUPTED)


def _default_library() -> Path:
    from platformdirs import user_data_path

    return user_data_path("descry") / "library"


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="descry")
@click.option(
    "--library",
    type=click.Path(path_type=Path),
    envvar="DESCRY_LIBRARY",
    metavar="DIR",
    help="Where the library is: by default $DESCRY_LIBRARY, else in the user data directory.",
)
@click.pass_context
def main(ctx: click.Context, library: Path | None) -> None:
    """Find photos from sentences, sentences from photos, and photos like a photo.

    \b
    descry index ~/Photos
    descry search "a dog on the beach"
    descry similar dog.jpg

    In a terminal, without a command: a prompt to ask, look and refine.
    """
    ctx.obj = library or _default_library()
    if ctx.invoked_subcommand is not None:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.exceptions.NoArgsIsHelpError(ctx)
    from search.prompt import converse

    converse(ctx.obj)

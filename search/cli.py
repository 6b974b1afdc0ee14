"""The command line: finds the command in `search.commands` and turns refusals into a line and an exit code.

Exit codes: 0 done; 1 done, but some files failed; 2 the request was wrong; 130 interrupted.
A command is imported when it is called, and imports what it needs when it runs, so that `--help` and a search by
sentence start at once.
"""

from __future__ import annotations

import sqlite3
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
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"search.commands.{cmd_name}"), cmd_name)
        return command

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


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
    """
    ctx.obj = library or _default_library()

"""`descry help`: what a command does and takes."""

from __future__ import annotations

import click

from search.terminal import write


@click.command("help")
@click.argument("command", required=False)
@click.pass_context
def help(ctx: click.Context, command: str | None) -> None:
    """Show what a command does and takes; without one, the commands.

    \b
    descry help search
    """
    root = ctx.find_root()
    assert isinstance(root.command, click.Group)
    if command is None:
        write(root.get_help() + "\n")
        return
    found = root.command.get_command(root, command)
    if found is None:
        raise click.UsageError(f"No such command {command!r}. There are: {', '.join(root.command.list_commands(root))}")
    write(found.get_help(click.Context(found, info_name=command, parent=root)) + "\n")

"""What explains the others: `descry help` and `descry completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from search.terminal import say, write


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


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what teaches a shell to complete descry: commands, options, encoders, formats, files.

    It goes to stdout; how to install it, to stderr.

    \b
    descry completion bash > ~/.local/share/bash-completion/completions/descry
    descry completion zsh > ~/.zfunc/_descry
    descry completion fish > ~/.config/fish/completions/descry.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # the argument's choices are click's own
    write(kind(ctx.find_root().command, {}, "descry", "_DESCRY_COMPLETE").source() + "\n")
    say(INSTALLING[shell])


# Where each shell looks for it; zsh only where it is told to.
INSTALLING = {
    "bash": "put it into ~/.local/share/bash-completion/completions/descry and open a new shell",
    "zsh": "put it into ~/.zfunc/_descry, with `fpath+=~/.zfunc; autoload -Uz compinit && compinit` in ~/.zshrc",
    "fish": "put it into ~/.config/fish/completions/descry.fish",
}

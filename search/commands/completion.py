"""`descry completion`: commands, options and their values by the Tab key."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from search.terminal import say, write


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

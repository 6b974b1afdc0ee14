"""`python -m training COMMAND ...`: one row a command, each in a module of its own."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from indexer.errors import DescryError

# Name -> the module with `add_arguments(parser)` and `run(options)`; the first sentence of its docstring is the help.
COMMANDS = {
    "shipped": "training.shipped.command",
    "contrastive": "training.contrastive",
    "finetune": "training.finetune",
    "distill": "training.distill",
    "align": "training.align",
    "ensemble": "training.ensemble",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; 0 done, 2 the request or the data was wrong."""
    parser = argparse.ArgumentParser(prog="python -m training", description="Train and adapt encoders.")
    chosen = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = import_module(module)
        described = str(command.__doc__).split("\n\n")[0]
        command.add_arguments(chosen.add_parser(name, help=described, description=described))
    options = parser.parse_args(arguments)
    try:
        import_module(COMMANDS[options.command]).run(options)
    except DescryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m training COMMAND ...`: one row a command."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from indexer.errors import DescryError

# Name -> the module with `add_arguments(parser)` and `run(options)`, and what the command does.
COMMANDS = {
    "shipped": ("training.shipped.stages", "Make the shipped encoder again, going on where a run was cut off."),
    "contrastive": ("training.trainer", "Train a dual encoder from photos and what is said of them."),
    "finetune": (
        "training.trainer",
        "Fine-tune an open_clip model on one's own pairs: all weights, the last layers (model.image = 2) or low-rank "
        "adapters (adapters.rank = 8); then the best point between before and after is taken.",
    ),
    "distill": (
        "training.trainer",
        "Teach a small encoder what a large one, an ensemble or a classifier knows (teacher.encoder).",
    ),
    "align": ("training.align", "Join an image trunk and a sentence transformer in closed form: CCA and ridge."),
    "ensemble": ("training.ensemble", "Choose an ensemble's weights on validation photos; prints its name."),
    "languages": (
        "training.languages",
        "Teach encoders other languages: the shipped one's map, and what it is made of.",
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; 0 done, 2 the request or the data was wrong."""
    parser = argparse.ArgumentParser(prog="python -m training", description="Train and adapt encoders.")
    chosen = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, described) in COMMANDS.items():
        import_module(module).add_arguments(chosen.add_parser(name, help=described, description=described))
    options = parser.parse_args(arguments)
    try:
        import_module(COMMANDS[options.command][0]).run(options)
    except DescryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m training COMMAND --config FILE`: the stages of `training.stages`, one by one or all in a row."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from indexer.errors import DescryError
from training.config import read_config
from training.curve import require_matplotlib
from training.stages import STAGES
from training.workshop import Workshop

ALL = "shipped"


def main(arguments: list[str] | None = None) -> int:
    """Runs a stage, or all; 0 done, 2 the request or the data was wrong."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument(
        "command", choices=[*STAGES, ALL], help=f"a stage, or {ALL}: all of them, going on where one stopped"
    )
    parser.add_argument("--config", type=Path, default=Path(__file__).parent / "configs" / "shipped.toml")
    parser.add_argument("--data", type=Path, required=True, help="the folder that the sources' paths start from")
    parser.add_argument("--models", type=Path, required=True, help="the folder with the weights to start from")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints, log and encoder are written")
    options = parser.parse_args(arguments)
    try:
        require_matplotlib()
        shop = Workshop(read_config(options.config), options.data, options.models, options.out)
        for name in STAGES if options.command == ALL else [options.command]:
            STAGES[name](shop)
    except DescryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

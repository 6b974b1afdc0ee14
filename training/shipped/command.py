"""Make the shipped encoder again, stage by stage, going on where a run was cut off."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.curve import require_matplotlib
from training.shipped.recipe import read_recipe
from training.shipped.run import Run
from training.shipped.stages import STAGES

RECIPE = Path(__file__).with_name("recipe.toml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m training shipped`."""
    parser.add_argument("--stage", choices=list(STAGES), help="only this stage, from what the earlier ones left")
    parser.add_argument("--config", type=Path, default=RECIPE, help="another recipe than that of the shipped encoder")
    parser.add_argument("--data", type=Path, required=True, help="the folder that the sources' paths start from")
    parser.add_argument("--models", type=Path, required=True, help="the folder with the weights to start from")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints, log and encoder are written")


def run(options: argparse.Namespace) -> None:
    """Runs one stage or all. Raises `DescryError` for what is wrong with the request or the data."""
    require_matplotlib()
    whole = Run(read_recipe(options.config), options.data, options.models, options.out)
    for name in [options.stage] if options.stage else STAGES:
        STAGES[name](whole)

"""Train a dual encoder from images and captions.

    python -m training contrastive --config mine.toml --data photos --out out

`mine.toml` names the data; `configs/contrastive.toml` holds every default with its reason.
"""

from __future__ import annotations

import argparse

from training.runs import add_arguments as add_arguments
from training.runs import run_command


def run(options: argparse.Namespace) -> None:
    """Trains, and writes checkpoint, log, curve and encoder to `--out`."""
    run_command("contrastive", options)

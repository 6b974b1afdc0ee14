"""Fine-tune an open_clip model on one's own pairs, without losing what it knew.

    python -m training finetune --config mine.toml --data photos --out out

All weights, the last layers (`model.image = 2`) or low-rank adapters (`adapters.rank = 8`) learn; then the point
between before and after is taken that is best on the validation sets, of which one may be what it must still know.
"""

from __future__ import annotations

import argparse

from training.runs import add_arguments as add_arguments
from training.runs import run_command


def run(options: argparse.Namespace) -> None:
    """Fine-tunes, and writes checkpoint, log, curve and encoder to `--out`."""
    result = run_command("finetune", options)
    for part, score in result.line:
        print(f"{part:.2f} of the way: score {score:.1f}{' (chosen)' if part == result.part else ''}")

"""Teach a small encoder what a large one, an ensemble or a classifier knows.

    python -m training distill --config mine.toml --data photos --out out

The student learns from the pairs and, for `teacher.alpha` of its loss, from its teacher: who is near whom, where each
photo and sentence lies and, with a classifier, which class names fit.
"""

from __future__ import annotations

import argparse

from training.runs import add_arguments as add_arguments
from training.runs import run_command


def run(options: argparse.Namespace) -> None:
    """Distils, and writes checkpoint, log, curve and encoder to `--out`."""
    run_command("distill", options)

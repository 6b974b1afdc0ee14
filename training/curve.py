"""The learning curve as a picture: what was lost and what was gained, stage after stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from indexer.errors import DescryError


def require_matplotlib() -> None:
    """Raises `DescryError` where the curve could not be drawn: better before hours of training than behind them."""
    if find_spec("matplotlib") is None:
        raise DescryError("Training draws its curve with matplotlib, an extra: pip install 'descry[training]'.")


def draw_curve(log: Path, picture: Path, *, losses: Sequence[str], measures: Mapping[str, str]) -> None:
    """Draws the losses and the validation measures of `log.jsonl` over the steps of all stages in a row."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines, borders = in_a_row([json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()])
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 7), layout="constrained")
    for name in losses:
        points = [(line["at"], line[name]) for line in lines if name in line]
        above.plot(*zip(*points, strict=True), label=f"{name} loss", linewidth=1)
    for name, label in measures.items():
        points = [(line["at"], line[name]) for line in lines if name in line]
        below.plot(*zip(*points, strict=True), marker="o", label=label)
    for axes in (above, below):
        axes.legend()
        axes.grid(alpha=0.3)
        for stage, at in borders:
            axes.axvline(at, color="grey", linewidth=0.7)
            axes.annotate(stage, (at, 1), xycoords=("data", "axes fraction"), va="top", fontsize=8)
    below.set_xlabel("step")
    figure.savefig(picture, dpi=90)
    pyplot.close(figure)


def in_a_row(lines: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[tuple[str, int]]]:
    """The lines with `at`, a step that counts on through the stages, and where each stage begins.

    >>> in_a_row([{"stage": "a", "step": 2}, {"stage": "b", "step": 1}])[1]
    [('a', 0), ('b', 2)]
    """
    borders: list[tuple[str, int]] = []
    placed, before, last = [], 0, 0
    for line in lines:
        if not borders or borders[-1][0] != line["stage"]:
            before = last
            borders.append((line["stage"], before))
        last = before + line["step"]
        placed.append({**line, "at": last})
    return placed, borders

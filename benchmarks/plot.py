"""The figures as a picture: how near each is to its aim, and what grows how."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import Any

from benchmarks.figures import Figure, Run, told
from benchmarks.growing import MEASURES, exponent
from benchmarks.setting import sizes_of
from indexer.errors import DescryError

# Letters of the machine's line that a part has room for.
LINE = 150

GROWN = re.compile(rf"({'|'.join(MEASURES)}), (\w+) x \d+")


def require_matplotlib() -> None:
    """Raises `DescryError` where nothing could be drawn: better before minutes of measuring than behind them."""
    if find_spec("matplotlib") is None:
        raise DescryError("--plot draws with matplotlib, an extra: pip install 'descry[training]'.")


def plot(run: Run, picture: Path) -> None:
    """Draws what the run holds: bars of aims, and lines of growth. Raises `DescryError` if it holds neither."""
    aimed = [figure for figure in run if figure.aim]
    grown = growth_of(run)
    if not aimed and not grown:
        raise DescryError("There is nothing to draw: no figure has an aim, and nothing has grown.")
    from matplotlib.figure import Figure as Picture  # late, and without a screen

    parts: list[Callable[[Any], None]] = []
    if aimed:
        parts.append(partial(_draw_aims, figures=aimed))
    if grown:
        parts.append(partial(_draw_growth, grown=grown))
    drawn = Picture(figsize=(9 * len(parts), max(5.0, 0.28 * len(aimed))), layout="constrained")
    drawn.suptitle(fill(told(run.machine), LINE * len(parts)), fontsize=8)
    for axes, draw in zip(drawn.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        draw(axes)
    drawn.savefig(picture, dpi=100)


def growth_of(run: Run) -> dict[str, dict[int, float]]:
    """What grew, by measure and number of photos."""
    grown: dict[str, dict[int, float]] = defaultdict(dict)
    for figure in run.figures.get("growth", ()):
        if match := GROWN.fullmatch(figure.name):
            (size,) = sizes_of([match[2]])
            grown[match[1]][size] = figure.value
    return dict(grown)


def distance(figure: Figure) -> float:
    """How many times better than its aim a figure is: 1 is just reached, below is missed.

    >>> from benchmarks.figures import Aim
    >>> distance(Figure("a query", 5.0, "ms", aim=Aim(most=10)))
    2.0
    """
    assert figure.aim
    number = figure.value if figure.ratio is None else figure.ratio
    if figure.aim.most is not None:
        return figure.aim.most / number
    return number / (figure.aim.least or 1)


def _draw_aims(axes: Any, figures: list[Figure]) -> None:
    distances = [distance(figure) for figure in figures][::-1]
    colors = ["tab:green" if value >= 1 else "tab:red" for value in distances]
    axes.barh([f"{figure.name} ({figure.aim})" for figure in figures][::-1], distances, color=colors)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_title("times better than the aim")
    axes.tick_params(axis="y", labelsize=7)


def _draw_growth(axes: Any, grown: Mapping[str, Mapping[int, float]]) -> None:
    for name, values in grown.items():
        label = f"{name} ({MEASURES[name]})"
        if len(values) > 1:
            label += f", exponent {exponent(values):.2f}"
        axes.loglog(list(values), list(values.values()), marker="o", label=label)
    axes.set_xlabel("photos")
    axes.set_title("growth")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)  # below: lines go everywhere

"""Two runs side by side: each figure now and then, and how many times as large it is now."""

from __future__ import annotations

from collections.abc import Iterator

from evaluation.speed.figures import Figure, Run, shown, told


def against(now: Run, then: Run) -> str:
    """The figures that both runs have, as lines; where machines differ, only the ratios to references compare."""
    lines = [f"now:  {told(now.machine)}", f"then: {told(then.machine)}", ""]
    rows = [("", "now", "then", "now/then", "ratio now", "ratio then"), *_rows(now, then)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        [
            *lines,
            *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows),
        ]
    )


def _rows(now: Run, then: Run) -> Iterator[tuple[str, ...]]:
    for measurement, figures in now.figures.items():
        before = {figure.name: figure for figure in then.figures.get(measurement, ())}
        for figure in figures:
            if figure.name in before:
                yield _row(measurement, figure, before[figure.name])


def _row(measurement: str, now: Figure, then: Figure) -> tuple[str, ...]:
    return (
        f"{measurement}: {now.name}",
        f"{shown(now.value)} {now.unit}",
        f"{shown(then.value)} {then.unit}",
        f"{now.value / then.value:.2f}" if then.value else "",
        f"{now.ratio:.3g}" if now.ratio is not None else "",
        f"{then.ratio:.3g}" if then.ratio is not None else "",
    )

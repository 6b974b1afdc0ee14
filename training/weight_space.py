"""Weights between before and after: what was learned without losing what was known.

Wortsman et al. (2022, "Robust fine-tuning of zero-shot models", WiSE-FT): a model on the straight line between the
weights before and after fine-tuning is often better than both, on what is new and on what is old.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

Weights = dict[str, dict[str, Tensor]]


def weights_of(modules: Mapping[str, nn.Module]) -> Weights:
    """A copy of the modules' weights, on the CPU."""
    return {
        name: {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}
        for name, module in modules.items()
    }


def between(before: Mapping[str, Tensor], after: Mapping[str, Tensor], part: float) -> dict[str, Tensor]:
    """The weights at `part` of the way: 0 is before, 1 after; what cannot be mixed (counters) is that of after.

    >>> between({"w": torch.tensor([0.0])}, {"w": torch.tensor([2.0])}, 0.25)["w"]
    tensor([0.5000])
    """
    return {
        name: torch.lerp(before[name], value, part) if value.is_floating_point() else value
        for name, value in after.items()
    }


def choose_on_line(
    modules: Mapping[str, nn.Module], before: Weights, points: int, score: Callable[[], float]
) -> tuple[float, list[tuple[float, float]]]:
    """Leaves the modules at the best of `points` points of the line to where they are now.

    Gives that point and all (part, score); of equal ones the nearest to before is taken.
    """
    after = weights_of(modules)
    measured = []
    for number in range(points):
        part = number / (points - 1)
        _put(modules, before, after, part)
        measured.append((part, score()))
    best, _ = max(measured, key=lambda one: (one[1], -one[0]))
    _put(modules, before, after, best)
    return best, measured


def _put(modules: Mapping[str, nn.Module], before: Weights, after: Weights, part: float) -> None:
    for name, module in modules.items():
        module.load_state_dict(between(before[name], after[name], part))

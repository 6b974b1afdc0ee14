"""What `finetune` has beside training: low-rank adapters, and a line between the weights before and after.

Adapters (Hu et al., 2021, "LoRA"): a weight stands still and a product of two thin matrices is added to it. torch's
parametrisation puts the sum in the place of the weight, so that every layer that has the weight uses it, attention's
joined projection too; merging makes the sum the weight.

The line (Wortsman et al., 2022, "Robust fine-tuning of zero-shot models", WiSE-FT): a model between the weights before
and after fine-tuning is often better than both, on what is new and on what is old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

Weights = dict[str, dict[str, Tensor]]

# Matrices of transformers, by the names that torch's layers have for them.
ADAPTED = {nn.Linear: ("weight",), nn.MultiheadAttention: ("in_proj_weight",)}


class LowRank(nn.Module):
    """`W + scale / rank * up @ down`, which begins as W: `up` is zero."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1], device=weight.device) / weight.shape[1] ** 0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))
        self.factor = scale / rank

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted weight `[out, in]`."""
        return weight + self.factor * (self.up @ self.down).to(weight.dtype)


def adapt(tower: nn.Module, rank: int, scale: float) -> int:
    """Lets every free matrix of a tower learn through an adapter and nothing else; gives the number of adapters."""
    free = [(module, name) for module, name in _matrices(tower) if getattr(module, name).requires_grad]
    tower.requires_grad_(False)
    for module, name in free:
        adapter = LowRank(getattr(module, name), rank, scale)
        parametrize.register_parametrization(module, name, adapter)
    return len(free)


def merge(tower: nn.Module) -> None:
    """Makes every adapted weight an ordinary one."""
    for module, name in list(_matrices(tower)):
        if parametrize.is_parametrized(module, name):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def _matrices(tower: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    for module in tower.modules():
        for kind, names in ADAPTED.items():
            if isinstance(module, kind):
                yield from ((module, name) for name in names if getattr(module, name) is not None)


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

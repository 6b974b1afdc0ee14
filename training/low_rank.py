"""Low-rank adapters: a weight stands still and a product of two thin matrices is added to it.

Hu et al. (2021, "LoRA"). torch's parametrisation puts the sum in the place of the weight, so that every layer that has
the weight uses it, attention's joined projection too; merging makes the sum the weight and leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

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

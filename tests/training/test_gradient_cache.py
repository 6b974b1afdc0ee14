"""A batch in chunks learns what the whole batch would, in the memory of a chunk."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from training.gradient_cache import embed_in_chunks
from training.losses import contrastive


class Tower(nn.Module):
    """A few layers, one of them random, which counts the rows that go through it."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 64), nn.GELU(), nn.Dropout(dropout), nn.Linear(64, 8))
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        return functional.normalize(self.layers(x), dim=-1)


@pytest.fixture
def towers() -> tuple[Tower, Tower]:
    torch.manual_seed(0)
    return Tower().double(), Tower().double()


INPUTS = torch.randn(10, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
OTHERS = torch.randn(10, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def gradients(towers: tuple[Tower, Tower], chunk: int) -> list[torch.Tensor]:
    for tower in towers:
        tower.zero_grad()
    photos, texts = embed_in_chunks(towers[0], INPUTS, chunk), embed_in_chunks(towers[1], OTHERS, chunk)
    loss = contrastive(9 * texts @ photos.T, torch.arange(10), torch.zeros(10, 10, dtype=torch.bool))
    loss.backward()
    return [parameter.grad.clone() for tower in towers for parameter in tower.parameters()]


@pytest.mark.parametrize("chunk", [1, 3, 5, 10, 99])
def test_the_gradients_are_those_of_the_whole_batch(towers, chunk):
    for ours, whole in zip(gradients(towers, chunk), gradients(towers, 0), strict=True):
        assert torch.allclose(ours, whole, atol=1e-14)


def test_each_half_batch_alone_would_learn_something_else(towers):
    photos, texts = towers[0](INPUTS[:5]), towers[1](OTHERS[:5])
    contrastive(9 * texts @ photos.T, torch.arange(5), torch.zeros(5, 5, dtype=torch.bool)).backward()
    half = towers[0].layers[0].weight.grad.clone()
    assert not torch.allclose(half, gradients(towers, 0)[0], rtol=0.1)


def test_no_more_than_a_chunk_goes_through_at_once_and_each_twice(towers):
    gradients(towers, 3)
    assert sorted(towers[0].seen) == sorted([3, 3, 3, 1] * 2)


def test_between_forward_and_backward_only_inputs_and_vectors_are_kept(towers):
    def kept(chunk: int) -> int:
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            embed_in_chunks(towers[0], INPUTS, chunk)
        return sum(sizes)

    assert kept(2) <= kept(0) / 4


def test_what_is_random_in_a_tower_is_the_same_in_both_passes():
    torch.manual_seed(0)
    tower = Tower(dropout=0.5)
    x = INPUTS.float()
    torch.manual_seed(7)
    embed_in_chunks(tower, x, 5)[:, 0].sum().backward()
    cached = tower.layers[0].weight.grad.clone()
    tower.zero_grad()
    torch.manual_seed(7)
    torch.cat([tower(x[:5]), tower(x[5:])])[:, 0].sum().backward()
    assert torch.allclose(cached, tower.layers[0].weight.grad, atol=1e-6)


def test_without_gradients_nothing_is_computed_twice(towers):
    with torch.no_grad():
        embed_in_chunks(towers[0], INPUTS, 3)
    assert sum(towers[0].seen) == 10

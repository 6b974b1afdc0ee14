"""Adapters begin as nothing, learn little of much, and leave an ordinary model behind."""

import pytest
import torch
from torch import nn

from training.low_rank import adapt, merge


@pytest.fixture
def layer() -> nn.TransformerEncoderLayer:
    torch.manual_seed(0)
    return nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)


X = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(1))


def test_an_adapted_layer_begins_as_the_layer_it_was(layer):
    before = layer(X)
    assert adapt(layer, 2, 1.0) == 4  # attention in and out, and the two matrices of the perceptron
    assert torch.equal(layer(X), before)


def test_only_the_adapters_learn_and_they_are_few(layer):
    total = sum(parameter.numel() for parameter in layer.parameters())
    adapt(layer, 2, 1.0)
    free = {name: parameter for name, parameter in layer.named_parameters() if parameter.requires_grad}
    assert all(name.endswith((".up", ".down")) for name in free)
    assert sum(parameter.numel() for parameter in free.values()) < total / 4


def test_every_adapter_gets_a_gradient(layer):
    adapt(layer, 2, 1.0)
    layer(X).square().sum().backward()
    ups = [p.grad for name, p in layer.named_parameters() if name.endswith(".up")]
    assert len(ups) == 4
    assert all(up is not None and up.abs().sum() > 0 for up in ups)


def test_merging_changes_no_answer_and_leaves_the_names_of_the_original(layer):
    names = set(layer.state_dict())
    adapt(layer, 2, 4.0)
    for name, parameter in layer.named_parameters():
        if name.endswith(".up"):
            parameter.data.normal_()
    adapted = layer(X)
    merge(layer)
    assert set(layer.state_dict()) == names
    assert torch.allclose(layer(X), adapted, atol=1e-5)


def test_what_was_learned_is_of_low_rank(layer):
    before = layer.linear1.weight.detach().clone()
    adapt(layer, 2, 1.0)
    for name, parameter in layer.named_parameters():
        if name.endswith(".up"):
            parameter.data.normal_()
    merge(layer)
    assert torch.linalg.matrix_rank(layer.linear1.weight.detach() - before, rtol=1e-4) == 2


def test_a_frozen_layer_stays_as_it_is(layer):
    layer.linear1.requires_grad_(False)
    assert adapt(layer, 2, 1.0) == 3
    assert "weight" in dict(layer.linear1.named_parameters())

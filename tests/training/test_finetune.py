"""Adapters begin as nothing, learn little of much, and leave an ordinary model behind."""

import pytest
import torch
from torch import nn

from training.finetune import adapt, between, choose_on_line, merge, weights_of


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


def module(value: float) -> nn.Linear:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data.fill_(value)
    return layer


def test_the_ends_of_the_line_are_the_models_themselves():
    before, after = {"w": torch.randn(3)}, {"w": torch.randn(3)}
    assert torch.equal(between(before, after, 0.0)["w"], before["w"])
    assert torch.equal(between(before, after, 1.0)["w"], after["w"])


def test_counters_are_not_mixed():
    assert between({"n": torch.tensor(3)}, {"n": torch.tensor(8)}, 0.5)["n"] == 8


@pytest.mark.parametrize(("wanted", "part"), [(0.0, 0.0), (3.0, 0.3), (10.0, 1.0), (99.0, 1.0)])
def test_the_point_with_the_best_score_is_chosen(wanted, part):
    layer = module(0.0)
    start = weights_of({"tower": layer})
    layer.weight.data.fill_(10.0)
    best, line = choose_on_line({"tower": layer}, start, 11, lambda: -abs(layer.weight[0, 0].item() - wanted))
    assert best == pytest.approx(part)
    assert layer.weight[0, 0].item() == pytest.approx(10 * part, abs=1e-5)
    assert [each for each, _ in line] == pytest.approx([number / 10 for number in range(11)])


def test_of_equal_points_the_one_nearest_to_before_is_taken():
    layer = module(0.0)
    start = weights_of({"tower": layer})
    layer.weight.data.fill_(1.0)
    assert choose_on_line({"tower": layer}, start, 5, lambda: 1.0)[0] == 0.0

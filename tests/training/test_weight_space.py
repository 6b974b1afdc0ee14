"""The line between two models, and the best point of it."""

import pytest
import torch
from torch import nn

from training.weight_space import between, choose_on_line, weights_of


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

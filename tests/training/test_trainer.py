"""The plan that settings mean, and the objective that a teacher and pairs make together."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from training.data import Batch
from training.losses import contrastive, feature_matching, similarity_distillation
from training.models import Similarity
from training.objective import Objective
from training.settings import Contrast, Teaching, read_settings
from training.trainer import embed_in_chunks, plan


@pytest.fixture
def learning(gallery):
    return read_settings(gallery / "mine.toml", command="contrastive").learning


@pytest.mark.parametrize(("checks", "every"), [(1.0, 40), (2.0, 20), (0.5, 80), (1000.0, 1)])
def test_validation_comes_as_often_an_epoch_as_is_said(learning, checks, every):
    assert plan(replace(learning, checks=checks), 40).check_every == every


def test_an_epoch_is_as_many_steps_as_there_are_batches(learning):
    assert plan(replace(learning, epochs=3), 40).steps == 120


class Colours:
    """A teacher of two dimensions whose vectors are given."""

    dimension = 2
    rows = torch.nn.functional.normalize(torch.tensor([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]]), dim=1)

    def photos(self, rows):
        return self.rows[rows]

    def sentences(self, sentences):
        return self.rows[[int(sentence) for sentence in sentences]]


BATCH = Batch([2, 0], ["2", "0", "0"], torch.tensor([0, 1, 1]), torch.zeros(3, 2, dtype=torch.bool))
PHOTOS = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.5, 1.0]]), dim=1)
SENTENCES = torch.nn.functional.normalize(torch.tensor([[0.0, 1.0], [1.0, 0.3], [1.0, -1.0]]), dim=1)


def teaching(**values: float) -> Teaching:
    table = {"alpha": 0.75, "temperature": 2.0, "scale": 5.0, "similarities": 1.0, "features": 2.0, "names": 1.0}
    return Teaching("one", "", "", **(table | values), names_a_step=2)


def test_an_objective_is_the_weighted_sum_of_its_losses():
    teacher = Colours()
    objective = Objective(
        Contrast("infonce", 100.0), Similarity(8.0), dimension=2, teaching=teaching(), teacher=teacher
    )
    parts = {name: value.item() for name, value in objective(BATCH, PHOTOS, SENTENCES).items()}
    logits, theirs = 8 * SENTENCES @ PHOTOS.T, 5 * teacher.rows[[2, 0, 0]] @ teacher.rows[[2, 0]].T
    matched = feature_matching(PHOTOS, teacher.rows[[2, 0]]) + feature_matching(SENTENCES, teacher.rows[[2, 0, 0]])
    assert parts == pytest.approx(
        {
            "pairs": 0.25 * contrastive(logits, BATCH.owners, BATCH.ignored).item(),
            "similarities": 0.75 * similarity_distillation(logits, theirs, 2.0).item(),
            "features": 1.5 * matched.item() / 2,
        },
        rel=1e-5,
    )


def test_a_teacher_of_more_dimensions_is_reached_over_a_learned_bridge():
    objective = Objective(Contrast("infonce", 100.0), None, dimension=7, teaching=teaching(), teacher=Colours())
    assert objective.bridge.weight.shape == (2, 7)
    assert objective.bridge.weight.requires_grad


def test_the_inverse_temperature_is_bounded_but_begins_where_the_model_was():
    objective = Objective(Contrast("infonce", 50.0), Similarity(20.0), dimension=2)
    objective.log_scale.data.fill_(9.0)
    assert objective.similarity.scale == pytest.approx(50.0)
    assert objective.similarity.bias is None
    sharper = Objective(Contrast("infonce", 50.0), Similarity(80.0), dimension=2)
    assert sharper.similarity.scale == pytest.approx(80.0)


def test_only_the_sigmoid_loss_learns_a_bias():
    for loss, learns in (("infonce", False), ("sigmoid", True)):
        objective = Objective(Contrast(loss, 100.0), None, dimension=2)
        sum(objective(BATCH, PHOTOS, SENTENCES).values()).backward()
        assert (objective.bias.grad is not None) == learns
        assert objective.log_scale.grad is not None


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

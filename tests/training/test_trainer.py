"""The plan that settings mean, and the objective that a teacher and pairs make together."""

from dataclasses import replace

import pytest
import torch

from training.losses import contrastive, feature_matching, similarity_distillation
from training.models.base import Similarity
from training.objective import Features, Objective, Pairs, Similarities
from training.pairs import Batch
from training.settings import Contrast, read_settings
from training.trainer import plan


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


def test_an_objective_is_the_weighted_sum_of_its_losses():
    teacher = Colours()
    terms = [
        (0.25, Pairs("infonce")),
        (0.75, Similarities(teacher, scale=5.0, temperature=2.0)),
        (1.5, Features(teacher, 2)),
    ]
    objective = Objective(terms, Contrast("infonce", 100.0), Similarity(8.0))
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
    features = Features(Colours(), 7)
    assert features.bridge.weight.shape == (2, 7)
    assert features.bridge.weight.requires_grad


def test_the_inverse_temperature_is_bounded_but_begins_where_the_model_was():
    objective = Objective([(1.0, Pairs("infonce"))], Contrast("infonce", 50.0), Similarity(20.0))
    objective.log_scale.data.fill_(9.0)
    assert objective.similarity.scale == pytest.approx(50.0)
    assert objective.similarity.bias is None
    sharper = Objective([(1.0, Pairs("infonce"))], Contrast("infonce", 50.0), Similarity(80.0))
    assert sharper.similarity.scale == pytest.approx(80.0)


def test_only_the_sigmoid_loss_learns_a_bias():
    for loss, learns in (("infonce", False), ("sigmoid", True)):
        objective = Objective([(1.0, Pairs(loss))], Contrast(loss, 100.0), None)
        sum(objective(BATCH, PHOTOS, SENTENCES).values()).backward()
        assert (objective.bias.grad is not None) == learns
        assert objective.log_scale.grad is not None

"""The objectives: gradients by finite differences, values by open_clip's loss and by hand."""

import math

import pytest
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from torch.nn import functional

from training.losses import (
    contrastive,
    feature_matching,
    sigmoid,
    similarity_distillation,
    word_choice,
)


def unit(n: int, dim: int, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(n, dim, generator=draw, dtype=torch.float64), dim=-1)


def nothing(n: int, m: int) -> torch.Tensor:
    return torch.zeros(n, m, dtype=torch.bool)


def test_with_one_caption_a_photo_the_contrastive_loss_is_open_clips():
    texts, photos, scale = unit(6, 8, 0), unit(6, 8, 1), torch.tensor(20.0)
    ours = contrastive(scale * texts @ photos.T, torch.arange(6), nothing(6, 6))
    assert ours.item() == pytest.approx(ClipLoss()(photos, texts, scale).item(), abs=1e-9)


def test_the_contrastive_loss_has_the_right_gradient():
    owners = torch.tensor([0, 0, 1, 2, 2])
    ignored = nothing(5, 3)
    ignored[0, 2] = True
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: contrastive(x, owners, ignored), (logits,))


def test_an_ignored_pair_changes_nothing():
    owners, ignored = torch.arange(3), nothing(3, 3)
    ignored[0, 1] = True
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    louder = logits.clone()
    louder[0, 1] = 50.0
    assert contrastive(logits, owners, ignored) == contrastive(louder, owners, ignored)


def test_a_photo_is_asked_for_all_its_captions():
    # Both captions of photo 0 must be near it: pushing one away costs, though the other stays.
    owners = torch.tensor([0, 0, 1])
    good = torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    half = torch.tensor([[9.0, 0.0], [0.0, 0.0], [0.0, 9.0]])
    assert contrastive(half, owners, nothing(3, 2)) > contrastive(good, owners, nothing(3, 2)) + 0.2


def test_word_choice_is_cross_entropy_and_counts_a_photo_by_what_is_known():
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    truth = torch.tensor([0, 3, 2, 1])
    sure = functional.one_hot(truth, 5).float()
    assert word_choice(logits, sure).item() == pytest.approx(functional.cross_entropy(logits, truth).item())
    sure[1:] = 0
    assert word_choice(logits, sure).item() == pytest.approx(functional.cross_entropy(logits[:1], truth[:1]).item())


def test_word_choice_has_the_right_gradient():
    targets = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.2, 0.1]], dtype=torch.float64)
    logits = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: word_choice(x, targets), (logits,))


def test_with_one_caption_a_photo_the_sigmoid_loss_is_open_clips():
    texts, photos = unit(6, 8, 0), unit(6, 8, 1)
    scale, bias = torch.tensor(10.0, dtype=torch.float64), torch.tensor(-10.0, dtype=torch.float64)
    ours = sigmoid(scale * texts @ photos.T + bias, torch.arange(6), nothing(6, 6))
    assert ours.item() == pytest.approx(SigLipLoss()(photos, texts, scale, bias).item(), abs=1e-9)


def test_the_sigmoid_loss_of_two_sentences_by_hand():
    # Photo 0 has both sentences, photo 1 none of them: four questions, two sentences.
    logits = torch.tensor([[2.0, -1.0], [0.0, 3.0]])
    expected = sum(math.log(1 + math.exp(-x)) for x in (2.0, 1.0, 0.0, -3.0)) / 2
    owners = torch.tensor([0, 0])
    assert sigmoid(logits, owners, nothing(2, 2)).item() == pytest.approx(expected, abs=1e-6)
    ignored = torch.tensor([[True, True], [False, True]])  # one's own photo cannot be ignored
    expected = sum(math.log(1 + math.exp(-x)) for x in (2.0, 0.0)) / 2
    assert sigmoid(logits, owners, ignored).item() == pytest.approx(expected, abs=1e-6)


def test_the_sigmoid_loss_has_the_right_gradient():
    owners, ignored = torch.tensor([0, 0, 2]), nothing(3, 3)
    ignored[1, 2] = True
    logits = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sigmoid(x, owners, ignored), (logits,))


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn():
    teacher = 20 * unit(5, 8, 0) @ unit(4, 8, 1).T
    assert similarity_distillation(teacher, teacher, 2.0).item() == pytest.approx(0, abs=1e-12)
    assert similarity_distillation(teacher + 3, teacher, 2.0).item() == pytest.approx(0, abs=1e-12)
    assert similarity_distillation(-teacher, teacher, 2.0).item() > 1


def test_distillation_is_the_divergence_worked_out_by_hand():
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(9) * 2, 0.0]])
    # At temperature 2 the teacher says 0.9 and 0.1, the student half and half; the columns have one entry and agree.
    rows = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert similarity_distillation(student, teacher, 2.0).item() == pytest.approx(4 * rows / 2, abs=1e-6)


def test_distillation_has_the_right_gradient():
    draw = torch.Generator().manual_seed(3)
    teacher = torch.randn(3, 4, dtype=torch.float64, generator=draw)
    student = torch.randn(3, 4, dtype=torch.float64, generator=draw, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: similarity_distillation(x, teacher, 1.5), (student,))


def test_features_that_match_cost_nothing_and_opposite_ones_most():
    rows = unit(4, 6, 0)
    assert feature_matching(rows, rows).item() == pytest.approx(0, abs=1e-12)
    assert feature_matching(-rows, rows).item() == pytest.approx(2)
    # half the squared distance of unit rows
    other = unit(4, 6, 1)
    assert feature_matching(rows, other).item() == pytest.approx((rows - other).square().sum(1).mean().item() / 2)


def test_feature_matching_has_the_right_gradient():
    teacher, student = unit(3, 4, 0), unit(3, 4, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: feature_matching(x, teacher), (student,))

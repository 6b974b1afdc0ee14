"""The objectives: gradients by finite differences, values by open_clip's loss and by hand."""

import math

import pytest
import torch
from open_clip.loss import ClipLoss
from torch.nn import functional

from training.losses import contrastive, multi_positive_nce, word_choice


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


def test_several_right_answers_by_hand():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0]])
    positives = torch.tensor([[True, True, False, False]])
    assert multi_positive_nce(logits, positives).item() == pytest.approx(math.log(2))


def test_rows_without_a_right_answer_do_not_count():
    logits = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    positives = torch.tensor([[True, False], [False, False]])
    alone = multi_positive_nce(logits[:1], positives[:1])
    assert multi_positive_nce(logits, positives) == alone
    assert multi_positive_nce(logits, torch.zeros_like(positives)) == 0


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

"""What is remembered of earlier steps counts as wrong answers, but never a photo's own sentences."""

import torch
from torch.nn.functional import normalize

from training.losses import contrastive
from training.shipped.batches import Batch
from training.shipped.memory import Memory


def batch(rows: list[int]) -> Batch:
    count = len(rows)
    return Batch(torch.tensor(rows), [f"sentence {row}" for row in rows], torch.arange(count), torch.eye(count) < 0, [])


def unit(count: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(count, 5, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_a_second_step_is_judged_like_one_large_step() -> None:
    memory = Memory(torch.ones(20, dtype=torch.bool), length=100, dimension=5)
    scale = torch.tensor(7.0)
    first, second = (unit(4, 0), unit(4, 1)), (unit(3, 2), unit(3, 3))
    memory.wrong(batch([0, 1, 2, 3]), *first, scale)
    wrong = memory.wrong(batch([4, 5, 6]), *second, scale)
    photos, sentences = (torch.cat(pair) for pair in zip(first, second, strict=True))

    small = contrastive(scale * second[1] @ second[0].T, torch.arange(3), torch.eye(3) < 0, **wrong)
    rows = scale * sentences @ photos.T
    right = torch.arange(7)
    by_sentence = torch.nn.functional.cross_entropy(rows, right, reduction="none")[4:].mean()
    by_photo = torch.nn.functional.cross_entropy(rows.T, right, reduction="none")[4:].mean()
    assert torch.allclose(small, (by_sentence + by_photo) / 2, atol=1e-5)


def test_the_same_photo_again_is_no_wrong_answer_and_photos_without_captions_are_not_remembered() -> None:
    captioned = torch.tensor([True, True, False])
    memory = Memory(captioned, length=100, dimension=5)
    memory.wrong(batch([0, 1, 2]), unit(3, 0), unit(3, 1), torch.tensor(1.0))
    wrong = memory.wrong(batch([1]), unit(1, 2), unit(1, 3), torch.tensor(1.0))
    assert wrong["wrong_photos"].shape == (1, 2)
    assert torch.isneginf(wrong["wrong_photos"]).tolist() == [[False, True]]
    assert torch.isneginf(wrong["wrong_sentences"]).tolist() == [[False, True]]


def test_it_holds_only_the_last() -> None:
    memory = Memory(torch.ones(9, dtype=torch.bool), length=2, dimension=5)
    memory.wrong(batch([0, 1, 2]), unit(3, 0), unit(3, 1), torch.tensor(1.0))
    assert memory.photos.rows.tolist() == memory.sentences.rows.tolist() == [1, 2]

"""The closed-form answer beside the learned one: folded into the layers, it is what laying both end to end gives."""

import numpy as np
import pytest
import torch

from indexer.encoders.base import unit_rows
from indexer.encoders.embedded_image import Head
from training.closed_form import cca, moments
from training.shipped.joining import Joining, Side, join, photo_side
from training.text_model import TextModel, TextShape

HOW = Joining(regularisation=0.5, power=0.5, share=0.4)
SHAPE = TextShape(tokens=50, token_width=6, width=8, layers=1, heads=2, context=9, dimension=5)


@pytest.fixture
def towers() -> tuple[Head, TextModel]:
    torch.manual_seed(0)
    return Head(10, 7, 5).eval(), TextModel(SHAPE).eval()


def pairs(text: TextModel) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    owners = [number // 2 for number in range(80)]
    ids = torch.randint(0, 50, (80, 9))
    # photos that have something to do with their sentences
    features = text.inner(ids)[0][::2].repeat(1, 2)[:, :10] + 0.3 * torch.randn(40, 10)
    return features.detach(), ids, owners


def sentence_side(text: TextModel, ids: torch.Tensor) -> Side:
    with torch.no_grad():
        hidden, tokens = text.inner(ids)
        answer = (text.leave(hidden) + text.direct(tokens)).double().numpy()
    return Side(torch.cat([hidden, tokens], dim=1).double().numpy(), answer)


def test_folded_cosines_are_those_of_both_answers_end_to_end(towers: tuple[Head, TextModel]) -> None:
    head, text = towers
    features, ids, owners = pairs(text)
    photos, sentences = photo_side(head, features), sentence_side(text, ids)

    sizes = np.r_[np.full(8, sentences.inner[:, :8].std()), np.full(6, sentences.inner[:, 8:].std())]
    y = sentences.inner / sizes
    found = cca(moments(photos.inner[owners], y), dimension=5, regularisation=0.5).weighed(0.5)

    def end_to_end(learned: np.ndarray, closed: np.ndarray) -> np.ndarray:
        parts = [
            np.sqrt(share) * rows / np.sqrt((rows**2).sum(axis=1).mean())
            for rows, share in ((learned, 0.6), (closed, 0.4))
        ]
        return np.hstack(parts)

    slow = [end_to_end(photos.answer, found.x(photos.inner)), end_to_end(sentences.answer, found.y(y))]
    seconds = sum(unit.T @ unit / len(unit) for unit in (rows / np.linalg.norm(rows, axis=1)[:, None] for rows in slow))
    directions = np.linalg.eigh(seconds)[1][:, -5:]
    expected = unit_rows(slow[0] @ directions) @ unit_rows(slow[1] @ directions).T

    join(head, text, photos, sentences, owners, HOW)
    with torch.no_grad():
        rows = torch.nn.functional.normalize(head(features), dim=-1)
        assert np.allclose((rows @ text(ids).T).numpy(), expected, atol=1e-4)


def test_without_a_share_only_the_learned_answer_counts(towers: tuple[Head, TextModel]) -> None:
    head, text = towers
    features, ids, owners = pairs(text)
    with torch.no_grad():
        before = torch.nn.functional.normalize(head(features), dim=-1) @ text(ids).T
        photos, sentences = photo_side(head, features), sentence_side(text, ids)
    join(head, text, photos, sentences, owners, Joining(0.5, 0.5, share=0.0))
    with torch.no_grad():
        after = torch.nn.functional.normalize(head(features), dim=-1) @ text(ids).T
    assert torch.allclose(before, after, atol=1e-4)

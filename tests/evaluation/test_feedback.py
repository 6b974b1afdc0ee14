"""Precision behind the marked hits, compared with counting by hand."""

import numpy as np
import pytest

from evaluation.feedback import precisions


def test_the_marked_photos_are_left_out_and_the_next_ten_counted() -> None:
    angles = np.linspace(0, 1, 30)
    photos = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    right = np.arange(30) % 3 == 0
    before, after = precisions(photos, np.array([1, 0], np.float32), right)
    assert before == pytest.approx(right[3:13].mean())
    assert 0 <= after <= 1


def test_marks_find_more_of_what_lies_together() -> None:
    rng = np.random.default_rng(1)
    photos = rng.normal(size=(60, 8)).astype(np.float32)
    photos[:20, 0] += 4
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    right = np.arange(60) < 20
    question = np.array([0.4, *[0.35] * 7], np.float32)
    before, after = precisions(photos, question / np.linalg.norm(question), right)
    assert after > before

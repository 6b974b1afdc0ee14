"""What taking things away and marking hits is worth, on photos whose vectors are drawn by hand."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.arithmetic import NOBODY, Pair, measure, naming, negation, pairs_of, precisions
from evaluation.datasets import DataError, Example

DOG, GRASS, NEITHER = np.eye(3, dtype=np.float32)
ALIKE = 12


def example(caption: str) -> Example:
    return Example("", Path("unused.jpg"), ("Something .", caption))


@pytest.fixture
def examples() -> list[Example]:
    return [example("Two dogs sit .")] * ALIKE + [example("A puppy in the grass")] * ALIKE + [example("A lawn")] * ALIKE


def test_what_captions_name_is_read_off_their_words(examples: list[Example]) -> None:
    shown = naming([*examples, example("A hotdog")])
    assert shown["dog"].tolist() == [True] * 2 * ALIKE + [False] * (ALIKE + 1)
    assert shown["grass"].sum() == 2 * ALIKE


def test_pairs_are_seen_together_and_apart(examples: list[Example]) -> None:
    pairs = {(pair.a, pair.b): pair for pair in pairs_of(naming(examples))}
    assert {("dog", "grass"), ("grass", "dog")} <= pairs.keys()
    assert pairs["dog", "grass"].fitting.sum() == pairs["dog", "grass"].unwanted.sum() == ALIKE
    assert ("dog", "snow") not in pairs


def test_precision_share_and_recall_are_those_of_the_first() -> None:
    fitting = np.arange(40) % 2 == 0
    pair = Pair("dog", "grass", fitting, ~fitting)
    scores = np.where(fitting, 1, 0).astype(np.float32)
    assert measure(scores, pair, ~fitting, NOBODY) == (1, 0, 1)
    assert measure(-scores, pair, ~fitting, NOBODY) == (0, 1, 1)
    assert measure(scores, pair, ~fitting, 0)[0] == 1


def test_a_penalty_tells_dogs_on_grass_from_dogs(examples: list[Example]) -> None:
    photos = np.stack([DOG] * ALIKE + [0.71 * DOG + 0.70 * GRASS] * ALIKE + [GRASS] * ALIKE + [NEITHER] * 60)
    words = {"dog": DOG, "grass": GRASS}
    examples += [example("A wall")] * 60
    table = negation(lambda names: np.stack([words.get(name, NEITHER) for name in names]), photos, examples)
    assert table["photo - B: B ignored"]["P@10"] == 0
    assert table["photo - B: penalised"]["P@10"] == 1
    assert table["word - B: penalised"] == pytest.approx({"P@10": 1, "B@10": 0, "R@50": 1})


def test_photos_without_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="take more"):
        negation(lambda names: np.zeros((len(names), 3), np.float32), np.zeros((1, 3), np.float32), [example("A dog")])


# marks


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

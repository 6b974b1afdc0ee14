"""The measurement of taking things away, on photos whose vectors are drawn by hand."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.datasets import DataError, Example
from evaluation.negation import NOBODY, Pair, measure, naming, negation, pairs_of

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
    assert table["photo - B: B ignored 0"]["P@10"] == 0
    assert table["photo - B: penalised 1"]["P@10"] == 1
    assert table["word - B: penalised 1"] == pytest.approx({"P@10": 1, "B@10": 0, "R@50": 1})


def test_photos_without_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="take more"):
        negation(lambda names: np.zeros((len(names), 3), np.float32), np.zeros((1, 3), np.float32), [example("A dog")])

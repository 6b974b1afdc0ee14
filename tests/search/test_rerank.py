"""Vectors and rankings made one; folding and variety, compared with slow and obvious implementations."""

import numpy as np
import pytest

from indexer.encoders.base import unit_rows
from indexer.items import Float32Array
from search.rerank import fold, marginal_relevance, penalties, rocchio, weighted


def crowded(seed: int, count: int = 60) -> Float32Array:
    """Unit rows around a few centres, so that some are alike and some are not."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(8, 6))
    rows = centres[random.integers(0, 8, count)] + random.normal(scale=0.2, size=(count, 6))
    return unit_rows(rows.astype(np.float32))


def slow_fold(vectors: Float32Array, threshold: float) -> list[list[int]]:
    groups: list[list[int]] = []
    for position in range(len(vectors)):
        for group in groups:
            if float(np.dot(vectors[group[0]], vectors[position])) >= threshold:
                group.append(position)
                break
        else:
            groups.append([position])
    return groups


def slow_marginal_relevance(scores: Float32Array, vectors: Float32Array, k: int, balance: float) -> list[int]:
    everyone = range(len(scores))
    cosines = {(a, b): float(np.dot(vectors[a], vectors[b])) for a in everyone for b in everyone}
    low, high = min(cosines.values()), max(cosines.values())
    worst, best = min(scores), max(scores)
    chosen: list[int] = []
    while len(chosen) < min(k, len(scores)):

        def value(one: int) -> float:
            relevance = (scores[one] - worst) / (best - worst)
            if not chosen:
                return float(relevance)
            likeness = max((cosines[one, other] - low) / (high - low) for other in chosen)
            return float(balance * relevance - (1 - balance) * likeness)

        chosen.append(max((one for one in everyone if one not in chosen), key=value))
    return chosen


@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.97])
@pytest.mark.parametrize("seed", range(5))
def test_folding_agrees_with_two_plain_loops(seed: int, threshold: float) -> None:
    vectors = crowded(seed)
    groups = fold(vectors, threshold)
    assert groups == slow_fold(vectors, threshold)
    assert 1 < len(groups) < len(vectors)


def test_folding_keeps_every_hit_once_and_the_best_in_front() -> None:
    groups = fold(crowded(1), 0.9)
    assert sorted(position for group in groups for position in group) == list(range(60))
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)
    assert all(group == sorted(group) for group in groups)


def test_folding_does_not_chain_from_neighbour_to_neighbour() -> None:
    angles = np.radians([0, 20, 40])  # each within 20 degrees of the next, the ends 40 apart
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert fold(rows, float(np.cos(np.radians(25)))) == [[0, 1], [2]]


@pytest.mark.parametrize("balance", [0.0, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("seed", range(5))
def test_marginal_relevance_agrees_with_its_definition(seed: int, balance: float) -> None:
    vectors = crowded(seed, 25)
    scores = vectors @ unit_rows(np.random.default_rng(seed + 100).normal(size=(1, 6)).astype(np.float32))[0]
    assert marginal_relevance(scores, vectors, 10, balance) == slow_marginal_relevance(scores, vectors, 10, balance)


def test_with_relevance_alone_the_ranking_stays() -> None:
    scores = np.linspace(0.3, 0.1, 20, dtype=np.float32)
    assert marginal_relevance(scores, crowded(3, 20), 20, 1.0) == list(range(20))


def test_more_variety_makes_the_answers_less_alike() -> None:
    vectors = crowded(4)
    scores = vectors @ vectors[0]

    def likeness(balance: float) -> float:
        chosen = vectors[marginal_relevance(scores, vectors, 8, balance)]
        return float((chosen @ chosen.T)[np.triu_indices(8, 1)].mean())

    assert likeness(1.0) > likeness(0.7) > likeness(0.3)


def test_equal_hits_come_in_their_order() -> None:
    same = np.tile(np.array([[1, 0]], np.float32), (4, 1))
    assert marginal_relevance(np.full(4, 0.5, np.float32), same, 3, 0.5) == [0, 1, 2]


def test_nothing_found_is_nothing_to_arrange() -> None:
    none = np.empty((0, 4), np.float32)
    assert fold(none, 0.9) == []
    assert marginal_relevance(np.empty(0, np.float32), none, 10, 0.5) == []


# vectors and rankings made one

EAST, NORTH = np.array([1, 0], np.float32), np.array([0, 1], np.float32)


def test_a_sum_lies_between_its_terms_and_has_length_one() -> None:
    np.testing.assert_allclose(weighted([EAST, NORTH], [1, 1]), [0.7071068, 0.7071068], rtol=1e-6)
    np.testing.assert_allclose(weighted([EAST, NORTH], [3, 4]), [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(weighted([EAST, NORTH], [3, -4]), [0.6, -0.8], rtol=1e-6)


def test_one_term_is_itself_whatever_it_weighs() -> None:
    np.testing.assert_allclose(weighted([NORTH], [7]), NORTH)


@pytest.mark.parametrize("weights", [[1, -1], [5, -5.001]])
def test_terms_that_cancel_out_leave_nothing(weights: list[float]) -> None:
    assert not weighted([EAST, EAST], weights).any()


def test_terms_that_weigh_nothing_leave_nothing() -> None:
    assert not weighted([EAST, NORTH], [0, 0]).any()


def test_resembling_what_is_taken_away_costs_what_is_above_the_mean() -> None:
    cosines = np.array([[0.5, 0.0], [0.3, 0.4], [0.1, 0.1]], np.float32)
    paid = penalties(cosines, np.array([0.2, 0.2], np.float32), [1.0, 2.0])
    np.testing.assert_allclose(paid, [0.3, 0.1 + 2 * 0.2, 0], rtol=1e-6)


def test_a_question_is_drawn_to_what_is_right_and_away_from_what_is_wrong() -> None:
    none, both = np.empty((0, 2), np.float32), np.stack([NORTH, NORTH])
    assert rocchio(EAST, both, none) @ NORTH > 0.4
    assert rocchio(EAST, none, both) @ NORTH < -0.2
    np.testing.assert_allclose(rocchio(EAST, both, none), rocchio(EAST, both[:1], none))
    np.testing.assert_allclose(rocchio(EAST, none, none), EAST)

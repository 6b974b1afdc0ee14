"""Vectors are weighed and added, and the sum is a unit vector again."""

import numpy as np
import pytest

from search.fusion import penalties, ranks_of, reciprocal_rank, rocchio, weighted

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


def test_equal_ones_share_the_better_rank() -> None:
    assert ranks_of({1: 0.5, 2: 0.9, 3: 0.5, 4: 0.1}) == {2: 1, 1: 2, 3: 2, 4: 4}
    assert ranks_of({}) == {}


def test_rankings_are_fused_by_the_sum_of_their_reciprocal_ranks() -> None:
    fused = reciprocal_rank([{1: 1, 2: 2}, {2: 1, 3: 2}])
    assert list(fused) == [2, 1, 3]
    assert fused[2] == pytest.approx(1 / 62 + 1 / 61)
    assert fused[3] == pytest.approx(1 / 62)
    assert reciprocal_rank([]) == {}


def test_a_question_is_drawn_to_what_is_right_and_away_from_what_is_wrong() -> None:
    none, both = np.empty((0, 2), np.float32), np.stack([NORTH, NORTH])
    assert rocchio(EAST, both, none) @ NORTH > 0.4
    assert rocchio(EAST, none, both) @ NORTH < -0.2
    np.testing.assert_allclose(rocchio(EAST, both, none), rocchio(EAST, both[:1], none))
    np.testing.assert_allclose(rocchio(EAST, none, none), EAST)

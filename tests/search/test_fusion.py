"""Vectors are weighed and added, and the sum is a unit vector again."""

import numpy as np
import pytest

from search.fusion import weighted

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

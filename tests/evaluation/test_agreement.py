"""Rank correlations against scipy's and against numbers worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from evaluation.agreement import kendall_tau_b, kendall_tau_c, spearman

DRAW = np.random.default_rng(0)
PAIRS = {
    "no ties": (DRAW.random(200), DRAW.random(200)),
    "few levels": (DRAW.random(300), DRAW.integers(1, 5, 300).astype(float)),
    "ties in both": (DRAW.integers(0, 9, 300).astype(float), DRAW.integers(0, 3, 300).astype(float)),
    "agreeing": (np.arange(50.0), np.arange(50.0) // 10),
}


@pytest.mark.parametrize("name", PAIRS)
def test_correlations_are_scipys(name):
    scores, judgements = PAIRS[name]
    assert kendall_tau_b(scores, judgements) == pytest.approx(stats.kendalltau(scores, judgements, variant="b")[0])
    assert kendall_tau_c(scores, judgements) == pytest.approx(stats.kendalltau(scores, judgements, variant="c")[0])
    assert spearman(scores, judgements) == pytest.approx(stats.spearmanr(scores, judgements)[0])


def test_by_hand_one_pair_of_three_the_wrong_way_round():
    scores, judgements = np.array([0.1, 0.4, 0.3]), np.array([1.0, 2.0, 3.0])
    assert kendall_tau_b(scores, judgements) == pytest.approx((2 - 1) / 3)
    assert kendall_tau_c(scores, judgements) == pytest.approx(2 * (2 - 1) / (9 * 2 / 3))
    assert spearman(scores, judgements) == pytest.approx(0.5)


def test_scores_that_say_nothing_agree_with_nobody():
    same, judgements = np.ones(5), np.arange(5.0)
    assert kendall_tau_b(same, judgements) == kendall_tau_c(same, judgements) == spearman(same, judgements) == 0

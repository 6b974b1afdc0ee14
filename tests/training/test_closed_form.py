"""The closed forms against scikit-learn's iterations and against what follows from their definitions."""

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge

from training.closed_form import cca, moments, ridge


@pytest.fixture(scope="module")
def pairs():
    """600 pairs of 7 and 4 numbers that share two hidden causes."""
    draw = np.random.default_rng(0)
    causes = draw.normal(size=(600, 2))
    x = causes @ draw.normal(size=(2, 7)) + draw.normal(size=(600, 7)) + 5
    y = causes @ draw.normal(size=(2, 4)) + 0.5 * draw.normal(size=(600, 4)) - 3
    return x, y


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


def test_canonical_correlations_and_directions_are_those_of_scikit_learn(pairs):
    x, y = pairs
    ours = cca(moments(x, y), dimension=3, regularisation=0)
    theirs_x, theirs_y = CCA(n_components=3, max_iter=5000, tol=1e-12).fit_transform(x, y)
    for number in range(3):
        assert ours.correlations[number] == pytest.approx(
            correlation(theirs_x[:, number], theirs_y[:, number]), abs=1e-6
        )
        assert abs(correlation(ours.x(x)[:, number], theirs_x[:, number])) == pytest.approx(1, abs=1e-5)
        assert abs(correlation(ours.y(y)[:, number], theirs_y[:, number])) == pytest.approx(1, abs=1e-5)


def test_mapped_rows_are_white_and_correlated_only_with_their_partners(pairs):
    x, y = pairs
    ours = cca(moments(x, y), dimension=4, regularisation=0)
    mapped_x, mapped_y = ours.x(x), ours.y(y)
    assert np.allclose(mapped_x.T @ mapped_x / len(x), np.eye(4), atol=1e-9)
    assert np.allclose(mapped_y.T @ mapped_y / len(y), np.eye(4), atol=1e-9)
    assert np.allclose(mapped_x.T @ mapped_y / len(x), np.diag(ours.correlations), atol=1e-9)
    assert ours.correlations.tolist() == sorted(ours.correlations, reverse=True)


def test_regularisation_lets_fewer_pairs_than_dimensions_be_analysed():
    draw = np.random.default_rng(1)
    few = moments(draw.normal(size=(5, 9)), draw.normal(size=(5, 6)))
    ours = cca(few, dimension=6, regularisation=0.1)
    assert np.isfinite(ours.x.weight).all() and np.isfinite(ours.y.weight).all()
    assert 0 < ours.correlations[0] < 1
    assert ours.correlations[0] > cca(few, dimension=6, regularisation=1).correlations[0]


def test_a_power_weighs_directions_by_their_correlation(pairs):
    x, y = pairs
    plain = cca(moments(x, y), dimension=3, regularisation=0.01)
    assert np.allclose(plain.weighed(2).x(x), plain.x(x) * plain.correlations**2)
    assert np.allclose(plain.weighed(2).y(y), plain.y(y) * plain.correlations**2)
    assert np.array_equal(plain.weighed(0).x.weight, plain.x.weight)


@pytest.mark.parametrize("regularisation", [0.0, 0.3])
def test_ridge_coefficients_and_predictions_are_those_of_scikit_learn(pairs, regularisation):
    x, y = pairs
    of = moments(x, y)
    predict, target = ridge(of, regularisation=regularisation)
    theirs = Ridge(alpha=regularisation * np.diag(of.xx).mean() * len(x)).fit(x, y)
    assert np.allclose(predict.weight, theirs.coef_.T, atol=1e-10)
    assert np.allclose(predict(x) + y.mean(axis=0), theirs.predict(x), atol=1e-9)
    assert np.allclose(target(y), y - y.mean(axis=0))


def test_a_pair_that_counts_twice_is_a_pair_that_is_there_twice(pairs):
    x, y = pairs
    weights = np.where(np.arange(len(x)) < 5, 2.0, 1.0)
    twice = moments(np.concatenate([x, x[:5]]), np.concatenate([y, y[:5]]))
    counted = moments(x, y, weights=weights)
    for name in ("mean_x", "mean_y", "xx", "yy", "xy"):
        assert np.allclose(getattr(counted, name), getattr(twice, name)), name


def test_rows_that_are_no_pairs_are_refused():
    with pytest.raises(ValueError, match="pairs"):
        moments(np.ones((3, 2)), np.ones((4, 2)))

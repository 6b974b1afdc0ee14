"""Two vector spaces joined without gradient descent: canonical correlations and ridge regression, from moments alone.

Both are pure functions of the means and covariances of pairs, so that ten regularisations cost one pass over the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.floating]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Means `[p]`, `[q]` and covariances `[p, p]`, `[q, q]`, `[p, q]` of `count` pairs of rows x and y."""

    count: int
    mean_x: Float64Array
    mean_y: Float64Array
    xx: Float64Array
    yy: Float64Array
    xy: Float64Array


@dataclass(frozen=True)
class AffineMap:
    """Rows `[n, in]` less `mean` `[in]`, times `weight` `[in, out]`."""

    mean: Float64Array
    weight: Float64Array

    def __call__(self, rows: Rows) -> Float64Array:
        """Rows `[n, in]` -> `[n, out]`."""
        mapped: Float64Array = (rows - self.mean) @ self.weight
        return mapped


@dataclass(frozen=True)
class Correlated:
    """Maps of x and y into one space whose directions are correlated by `correlations` `[out]`, the highest first."""

    x: AffineMap
    y: AffineMap
    correlations: Float64Array

    def weighed(self, power: float) -> Correlated:
        """The same with each direction weighed by its correlation to a power.

        Cosines then listen to what both sides agree on (Gong et al., 2014, "A Multi-View Embedding Space for Modeling
        Internet Images, Tags, and their Semantics", whose power is 4).
        """
        weights = self.correlations**power
        x, y = (AffineMap(side.mean, side.weight * weights) for side in (self.x, self.y))
        return Correlated(x, y, self.correlations)


def moments(x: Rows, y: Rows, *, weights: Rows | None = None) -> Moments:
    """What the methods need to know of pairs `x` `[n, p]`, `y` `[n, q]`; n is at least 2.

    `weights` `[n]` say how much each pair counts beside the others; None: all alike.
    """
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"pairs are needed, at least two, not {len(x)} and {len(y)} rows")
    shares = np.full(len(x), 1 / len(x)) if weights is None else np.asarray(weights, dtype=np.float64) / np.sum(weights)
    mean_x, mean_y = shares @ x, shares @ y
    centred_x, centred_y = x - mean_x, y - mean_y
    weighed_x, weighed_y = shares[:, None] * centred_x, shares[:, None] * centred_y
    xx, yy, xy = weighed_x.T @ centred_x, weighed_y.T @ centred_y, weighed_x.T @ centred_y
    return Moments(len(x), mean_x, mean_y, xx, yy, xy)


def cca(of: Moments, *, dimension: int, regularisation: float) -> Correlated:
    """Regularised canonical correlation analysis (Hotelling, 1936; the ridge is Vinod's, 1976).

    `regularisation` is added to both covariances' diagonals, as a part of their mean: 0 is the classical analysis,
    whose covariances must be regular. Without it mapped rows have covariance one. `dimension` is at most the
    narrower side's.
    """
    white_x, white_y = (_whitening(_ridged(covariance, regularisation)) for covariance in (of.xx, of.yy))
    left, correlations, right = np.linalg.svd(white_x @ of.xy @ white_y, full_matrices=False)
    x, y = white_x @ left[:, :dimension], white_y @ right[:dimension].T
    return Correlated(AffineMap(of.mean_x, x), AffineMap(of.mean_y, y), correlations[:dimension])


def ridge(of: Moments, *, regularisation: float) -> tuple[AffineMap, AffineMap]:
    """Ridge regression of y on x (Hoerl and Kennard, 1970): a map of x that predicts y less its mean, and that of y.

    `regularisation` is added to the diagonal of x's covariance, as a part of its mean.
    """
    weight: Float64Array = np.linalg.solve(_ridged(of.xx, regularisation), of.xy).astype(np.float64)
    return AffineMap(of.mean_x, weight), AffineMap(of.mean_y, np.eye(len(of.mean_y)))


def _ridged(covariance: Float64Array, regularisation: float) -> Float64Array:
    ridged: Float64Array = covariance + regularisation * np.diag(covariance).mean() * np.eye(len(covariance))
    return ridged


def _whitening(covariance: Float64Array) -> Float64Array:
    """The symmetric inverse square root of a covariance `[p, p]`."""
    values, vectors = np.linalg.eigh(covariance)
    whitening: Float64Array = (vectors / np.sqrt(values)) @ vectors.T
    return whitening

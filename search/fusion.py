"""Several vectors or rankings made one, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from indexer.encoders.base import unit_rows
from indexer.items import Float32Array


def weighted(vectors: Sequence[Float32Array], weights: Sequence[float]) -> Float32Array:
    """Unit vectors `[dim]`, weighed, added and renormalised, so that scores stay cosines.

    The zero vector if they cancel out: below a thousandth of their length the direction is rounding.

    >>> weighted([np.array([1, 0], np.float32), np.array([0, 1], np.float32)], [3, 4]).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    total = np.asarray(weights, np.float32) @ np.stack(vectors)  # (n) @ (n, dim) -> (dim)
    if np.linalg.norm(total) < 1e-3 * np.abs(weights).sum():
        return np.zeros_like(total)
    return unit_rows(total)

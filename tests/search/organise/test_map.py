"""Photos on a map: neighbours stay neighbours, and the same photos lie at the same places."""

import sys

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from indexer import Vectors
from indexer.encoders import unit_rows
from indexer.errors import QueryError
from indexer.items import Float32Array
from search.organise import map as module
from search.organise.map import layout, sample


def clouds(count: int) -> Float32Array:
    """Photos around five middles, `[count, 32]`."""
    draw = np.random.default_rng(0)
    return unit_rows(draw.normal(size=(5, 32))[np.arange(count) % 5] + 0.1 * draw.normal(size=(count, 32)))


def test_what_is_alike_lies_close_and_all_inside_the_square() -> None:
    rows = clouds(120)
    places = layout(rows)
    assert places.shape == (120, 2)
    assert places.min() >= 0
    assert places.max() <= 1
    assert np.ptp(places, axis=0).max() == pytest.approx(1)
    assert trustworthiness(rows, places, n_neighbors=5) > 0.95
    np.testing.assert_array_equal(places, layout(rows))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 31])
def test_few_photos_are_laid_out_too(count: int) -> None:
    places = layout(clouds(count))
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert places.min() >= 0
    assert places.max() <= 1


def test_equal_photos_are_no_trouble() -> None:
    assert np.isfinite(layout(np.repeat(clouds(1), 12, axis=0))).all()


def test_of_too_many_photos_the_same_sample_is_laid_out_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = Vectors(np.arange(100, 160), clouds(60))
    assert sample(vectors) is vectors
    monkeypatch.setattr(module, "PHOTOS_AT_MOST", 20)
    chosen = sample(vectors)
    assert len(set(chosen.ids.tolist())) == 20
    np.testing.assert_array_equal(chosen.rows, vectors.rows[chosen.ids - 100])
    np.testing.assert_array_equal(chosen.ids, sample(vectors).ids)


def test_without_its_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(QueryError, match=r"descry\[map\]"):
        layout(clouds(20))

"""Libraries out of nothing: they are libraries like others, the same each time, and made in pieces."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import synthetic
from benchmarks.synthetic import Clustered, Resampled, named_only, of_library, write_library
from indexer import Library
from indexer.encoders.base import unit_rows
from indexer.storage.files import LIMBO
from search.filters import FUNCTIONS, Filter, to_sql

COUNT, DIMENSION = 1500, 16


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(synthetic, "PIECE", 600)
    monkeypatch.setattr(synthetic, "SENTENCES", 30)
    write_library(tmp_path / "library", COUNT, named_only(DIMENSION))
    return tmp_path / "library"


def test_every_photo_has_its_file_its_facts_and_its_vector(written: Path) -> None:
    with Library.open(written) as library:
        assert library.catalog.counts() == {"image": COUNT, "text": 30}
        assert len(library.index("image")) == COUNT
        items = library.catalog.items(list(range(1, COUNT + 1)))
        assert len({item.path for item in items}) == len(items) == COUNT
        assert all(item.path.parent != LIMBO and item.facts["width"] > 0 for item in items)
        assert {item.facts.get("camera", "") for item in items} <= synthetic.CAMERAS.keys()
        taken = [item.facts["taken"] for item in items if "taken" in item.facts]
        assert taken == sorted(taken)
        rows = np.concatenate([piece.rows for piece in library.catalog.vectors_since("image", 0)])
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3)


def test_a_question_has_a_vector_that_is_nearest_by_far(written: Path) -> None:
    with Library.open(written) as library:
        scores = library.index("image").search(library.catalog.some_vectors("text", 30).rows, 10)[0]
        assert (scores[:, 0] > scores[:, 9]).all()


def test_it_is_filtered_like_any_other(written: Path) -> None:
    with Library.open(written) as library:
        library.catalog.register_functions(FUNCTIONS)
        canon = library.catalog.ids("image", *to_sql([Filter("camera", "canon")]))
        assert 0.4 * COUNT < len(canon) < 0.6 * COUNT
        january = library.catalog.ids("image", *to_sql([Filter("before", "2004-01-08")]))
        assert len(january) == pytest.approx(7 * 144, abs=2)


def test_of_one_number_it_is_the_same_each_time_and_the_larger_begins_like_the_smaller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(synthetic, "PIECE", 100)
    photos, sentences = unit_rows(np.random.default_rng(0).normal(size=(2, 50, 8)).astype(np.float32))
    for source in (Clustered(8), Resampled(photos, sentences)):
        small, large = (np.concatenate(list(source.rows(count))) for count in (200, 350))
        assert (small.shape, large.shape) == ((200, 8), (350, 8))
        np.testing.assert_array_equal(large[:200], small)
        np.testing.assert_allclose(np.linalg.norm(large, axis=1), 1, rtol=1e-5)
        assert source.questions(7, 350).shape == (7, 8)


def test_more_photos_are_made_of_those_of_a_library(written: Path) -> None:
    source = of_library(written)
    assert (len(source.photos), len(source.sentences)) == (pytest.approx(600, abs=90), 30)  # a piece at most
    held = {row.tobytes() for row in source.sentences}
    assert all(row.tobytes() in held for row in source.questions(10, COUNT))

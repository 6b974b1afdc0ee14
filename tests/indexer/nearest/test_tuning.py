"""Which index a library gets, and that it keeps it through changes, losses and another encoder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer import Library
from indexer.errors import LibraryError
from indexer.items import Item, Source
from indexer.nearest import ivf_parameters, tuning
from indexer.nearest.index import VectorIndex
from indexer.nearest.saved import Sealed
from indexer.testing import color_encoder

COUNT = 3000


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def put(library: Library, count: int, *, seed: int = 0) -> None:
    """Photos with vectors by chance: only the catalog knows of them."""
    rows = unit(np.random.default_rng(seed).normal(size=(count, 4)))
    with library.catalog.atomic() as revision:
        for number, row in enumerate(rows):
            path = Path(f"/photos/{seed}/{number}.jpg")
            file = library.catalog.files.put(Source(path, "image", 1, 1))
            library.catalog.put_items(file, [Item("image", path)], row[np.newaxis], revision)


def questions(count: int = 80) -> np.ndarray:
    return unit(np.random.default_rng(7).normal(size=(count, 4)))


def truth(library: Library) -> np.ndarray:
    return nearest(library, questions())


def nearest(library: Library, asked: np.ndarray) -> np.ndarray:
    """The slow truth, by the catalog alone."""
    pieces = list(library.catalog.vectors_since("image", -1))
    ids, rows = np.concatenate([piece.ids for piece in pieces]), np.concatenate([piece.rows for piece in pieces])
    return ids[np.argsort(-(asked @ rows.T), axis=1, kind="stable")[:, :10]]


def recall(library: Library) -> float:
    return tuning.recall_of(library.index("image").search(questions(), 10)[1], truth(library))


@pytest.fixture
def large(library: Library, monkeypatch: pytest.MonkeyPatch) -> Library:
    """A library that counts as large."""
    monkeypatch.setattr(tuning, "EXACT_IS_QUICK", 1000)
    put(library, COUNT)
    return library


@pytest.fixture
def optimized(large: Library) -> Library:
    large.indexes.optimize("image", questions(), recall=0.95)
    return large


def test_a_small_library_is_told_that_exact_is_best(library: Library) -> None:
    put(library, 300)
    result = library.indexes.optimize("image", questions(), recall=0.9)
    assert (result.chosen, result.tried, result.vectors) == (None, None, 300)
    assert library.index("image").is_exact
    assert library.indexes.parameters("image") is None


@pytest.mark.parametrize("wished", [0.8, 0.95, 0.99])
def test_a_large_one_gets_lists_and_a_depth_for_the_wished_recall(
    wished: float, large: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ivf_parameters, "LOOKED_AT", 0)  # the lists of so small an index are too short for ten answers
    result = large.indexes.optimize("image", questions(), recall=wished)
    assert result.chosen is not None
    index = large.index("image")
    assert (index.is_exact, len(index), index.ivf.nprobe) == (False, COUNT, result.chosen.nprobe)
    chosen_by, true = questions()[::2], truth(large)[::2]
    chosen = result.chosen
    ivf = tuning.build(large.catalog, "image", nlist=chosen.nlist, nprobe=chosen.nprobe, refine_k=chosen.refine_k)
    copy = VectorIndex(large.catalog.stored, ivf=ivf)
    assert tuning.recall_of(copy.search(chosen_by, 10)[1], true) >= wished
    assert result.chosen.recall == pytest.approx(
        tuning.recall_of(index.search(questions()[1::2], 10)[1], truth(large)[1::2])
    )


@pytest.mark.parametrize("wished", [0.8, 0.95, 0.99])
def test_what_is_chosen_costs_at_most_a_stride_more_than_the_best_of_all(
    wished: float, large: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ivf_parameters, "LOOKED_AT", 0)
    monkeypatch.setattr(tuning, "SURE", 0)
    index, true = tuning.build(large.catalog, "image", nlist=128), truth(large)
    costs = {}
    for index.refine_k in tuning.REFINE_KS:
        for index.nprobe in range(1, 64):
            if tuning.recall_of(index.by_code(questions(), index.refine_k, 10), true) >= wished:
                costs[index.refine_k, index.nprobe] = tuning.READ_COSTS * index.refine_k + COUNT * index.nprobe / 128
                break
    tuning.choose(index, questions(), true, wished)
    assert tuning.recall_of(index.by_code(questions(), index.refine_k, 10), true) >= wished
    cost = tuning.READ_COSTS * index.refine_k + COUNT * index.nprobe / 128
    assert min(costs.values()) <= cost <= tuning.STRIDE * min(costs.values())


def test_what_few_questions_choose_surely_finds_as_much_for_others(
    large: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ivf_parameters, "LOOKED_AT", 0)
    index, asked = tuning.build(large.catalog, "image", nlist=128), questions(400)
    true = nearest(large, asked)
    reached = []
    for errors in (0, tuning.SURE):
        monkeypatch.setattr(tuning, "SURE", errors)
        recalls = []
        for start in range(0, 400, 20):
            few = slice(start, start + 20)
            tuning.choose(index, asked[few], true[few], 0.9)
            recalls.append(tuning.recall_of(index.by_code(asked, index.refine_k, 10), true))
        reached.append(np.mean(np.array(recalls) >= 0.9))
    without, surely = reached
    assert without < 0.8 < 0.9 < surely


def test_where_too_many_lists_would_have_to_be_scanned_exact_is_best(
    large: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ivf_parameters, "LOOKED_AT", 0)
    monkeypatch.setattr(tuning, "WORTH_IT", 0.01)
    result = large.indexes.optimize("image", questions(), recall=1.0)
    assert result.chosen is None
    assert result.tried is not None
    assert result.tried.nprobe > 1
    assert large.indexes.parameters("image") is None
    assert large.index("image").is_exact
    assert recall(large) == 1


def test_what_was_chosen_is_there_for_the_next_reader_with_its_revision(optimized: Library) -> None:
    with Library.open(optimized.path) as reader:
        index = reader.index("image")
        assert not index.is_exact
        assert index.revision == reader.catalog.revision
        assert reader.indexes.parameters("image") == optimized.indexes.parameters("image") is not None
        assert recall(reader) > 0.9


def test_it_follows_what_comes_and_goes_without_being_built_again(optimized: Library) -> None:
    put(optimized, 400, seed=1)
    optimized.catalog.remove_under(Path("/photos/0/7.jpg"))
    index = optimized.index("image")
    assert (len(index), index.is_exact) == (COUNT + 399, False)
    assert recall(optimized) > 0.9
    put(optimized, 1200, seed=2)  # worth saving
    with optimized.lock():
        optimized.indexes.save()
    assert optimized.indexes.behind() == 0
    with Library.open(optimized.path) as reader:
        index = reader.index("image")
        assert (len(index), index.is_exact) == (COUNT + 1599, False)
        assert recall(reader) > 0.9


@pytest.mark.parametrize("damage", [None, b"broken"])
def test_a_reader_of_a_lost_one_is_exact_and_the_next_writer_makes_it_anew(
    damage: bytes | None, optimized: Library
) -> None:
    file = optimized.path / "image.faiss"
    file.unlink()
    if damage:
        file.write_bytes(damage)
    with Library.open(optimized.path) as reader:
        assert reader.index("image").is_exact
        assert recall(reader) == 1
    with Library.open(optimized.path, readonly=False) as writer, writer.lock():
        writer.indexes.save()
    with Library.open(optimized.path) as reader:
        assert not reader.index("image").is_exact
        assert recall(reader) > 0.9


def test_with_another_encoder_the_choice_does_not_hold(optimized: Library) -> None:
    optimized.catalog.set_meta(checksum="other")
    assert optimized.indexes.parameters("image") is None


def test_a_reader_that_is_open_takes_the_new_one_when_it_is_whole(large: Library) -> None:
    with Library.open(large.path) as reader:
        assert reader.index("image").is_exact
        large.indexes.optimize("image", questions(), recall=0.9)
        assert not reader.index("image").is_exact
        assert reader.index("image") is reader.index("image")  # opened once
        assert recall(reader) > 0.8


def test_a_reader_of_an_older_state_keeps_the_index_that_fits_it(large: Library) -> None:
    with Library.open(large.path) as reader:
        before = reader.index("image")
        with reader.catalog.snapshot():
            reader.catalog.revision  # noqa: B018 - the snapshot begins when something is read
            put(large, 10, seed=3)
            large.indexes.optimize("image", questions(), recall=0.9)
            assert reader.index("image") is before
            assert len(before) == COUNT
        assert len(reader.index("image")) == COUNT + 10


def test_it_can_be_made_exact_again(optimized: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "EXACT_IS_QUICK", 1e6)
    optimized.indexes.optimize("image", questions(), recall=0.9)
    with Library.open(optimized.path) as reader:
        assert reader.index("image").is_exact
        assert recall(reader) == 1


def test_what_others_change_while_it_is_made_is_in_it(large: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def tune(*arguments: Any, **options: Any) -> Any:
        made = unhurried(*arguments, **options)
        put(indexing, 300, seed=3)
        indexing.catalog.remove_under(Path("/photos/0/7.jpg"))
        return made

    unhurried = tuning.tune
    monkeypatch.setattr(tuning, "tune", tune)
    with Library.create(large.path, color_encoder()) as indexing, indexing.lock():
        large.indexes.optimize("image", questions(), recall=0.95)
    index = large.index("image")
    assert (len(index), index.is_exact) == (COUNT + 299, False)
    assert Sealed(large.path / "image.faiss").revision == large.catalog.revision - 1  # the choice is a change
    assert recall(large) > 0.9


def test_one_that_can_catch_up_no_more_is_not_saved(large: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def tune(*arguments: Any, **options: Any) -> Any:
        made = unhurried(*arguments, **options)
        large.catalog.set_meta(pruned=large.catalog.revision + 1)
        return made

    unhurried = tuning.tune
    monkeypatch.setattr(tuning, "tune", tune)
    with pytest.raises(LibraryError, match="changed too much meanwhile: run the same command again"):
        large.indexes.optimize("image", questions(), recall=0.9)
    assert large.indexes.parameters("image") is None


def test_one_made_for_half_as_many_is_outgrown(optimized: Library) -> None:
    assert optimized.indexes.outgrown() == {}
    put(optimized, COUNT - 1, seed=4)
    assert optimized.indexes.outgrown() == {}
    put(optimized, 1, seed=5)
    assert optimized.indexes.outgrown() == {"image": optimized.indexes.parameters("image")}
    optimized.indexes.optimize("image", questions(), recall=0.95)
    assert optimized.indexes.outgrown() == {}

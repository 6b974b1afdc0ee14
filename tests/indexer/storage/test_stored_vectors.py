"""Vectors in their file: what was written comes back, however it is asked for; a file that is too short is noticed."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from stored import rounded

from indexer.errors import LibraryDamaged, LibraryFull
from indexer.items import Float32Array
from indexer.storage.packing import width
from indexer.storage.stored_vectors import BLOCK, StoredVectors

DIMENSION = 24


def unit(count: int, seed: int = 0) -> Float32Array:
    rows = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    return rounded(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[StoredVectors]:
    with closing(StoredVectors(tmp_path / "vectors", DIMENSION)) as stored:
        yield stored


@pytest.mark.parametrize("count", [1, 10, BLOCK, 4 * BLOCK])
def test_vectors_come_back_by_their_ids_in_any_order_dense_or_scattered(file: StoredVectors, count: int) -> None:
    rows, ids = unit(50 * BLOCK), np.arange(1, 50 * BLOCK + 1)
    file.write(ids, rows)
    dense = np.random.default_rng(1).permutation(ids[100 : 100 + count])
    scattered = np.random.default_rng(2).choice(ids, count, replace=False)
    for wanted in (dense, scattered):
        np.testing.assert_array_equal(file.read(wanted), rows[wanted - 1])
    assert file.read(ids[:0]).shape == (0, DIMENSION)


def test_ids_with_gaps_lie_where_their_number_says(file: StoredVectors) -> None:
    ids, rows = np.array([3, 4, 9, 2]), unit(4)
    file.write(ids, rows)
    np.testing.assert_array_equal(file.read(np.array([2, 9, 3])), rows[[3, 2, 0]])
    assert len(file) == 10
    assert file.path.stat().st_size == 10 * width(DIMENSION)


def test_a_reader_sees_what_was_added_since_it_opened(file: StoredVectors) -> None:
    rows, reader = unit(20), StoredVectors(file.path, DIMENSION)
    file.write(np.arange(1, 11), rows[:10])
    np.testing.assert_array_equal(reader.read(np.array([5])), rows[[4]])
    file.write(np.arange(11, 21), rows[10:])
    np.testing.assert_array_equal(reader.read(np.array([5, 20])), rows[[4, 19]])


def test_what_was_written_and_not_committed_is_overwritten(file: StoredVectors) -> None:
    file.write(np.array([1, 2]), unit(2))
    file.write(np.array([2]), unit(1, seed=5))
    np.testing.assert_array_equal(file.read(np.array([2])), unit(1, seed=5))


@pytest.mark.parametrize("cut", [0, 5, 9 * width(DIMENSION)])
def test_a_file_that_is_missing_or_cut_short_is_named_with_the_remedy(file: StoredVectors, cut: int) -> None:
    file.write(np.arange(1, 11), unit(10))
    with file.path.open("r+b") as handle:
        handle.truncate(cut)
    with pytest.raises(LibraryDamaged, match=f"{file.path} are missing or cut short: put back"):
        file.check(10)
    with pytest.raises(LibraryDamaged):
        file.read(np.array([10]))
    file.path.unlink()
    missing = StoredVectors(file.path, DIMENSION)
    with pytest.raises(LibraryDamaged):
        missing.check(1)
    missing.check(0)  # a library without items needs none


def test_who_has_opened_it_reads_on_when_another_generation_has_taken_its_place(file: StoredVectors) -> None:
    file.write(np.arange(1, 11), unit(10))
    reader = StoredVectors(file.path, DIMENSION)
    reader.check(10)
    file.path.unlink()
    np.testing.assert_array_equal(reader.read(np.array([10, 2])), unit(10)[[9, 1]])
    assert len(reader) == 11


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full here")
def test_where_there_is_no_room_it_says_so() -> None:
    with (
        closing(StoredVectors(Path("/dev/full"), DIMENSION)) as full,
        pytest.raises(LibraryFull, match="No space left on device"),
    ):
        full.write(np.array([0]), unit(1))


@pytest.mark.parametrize("k", [1, 10, 400])
def test_the_nearest_are_among_those_that_may_be(file: StoredVectors, k: int) -> None:
    rows, ids = unit(3000), np.arange(1, 3001)
    rows[1000:1020] = rows[1000]  # ties
    file.write(ids, rows)
    allowed = ids[::2]
    for query in [*unit(20, seed=3), rows[1000]]:
        scores = rows[allowed - 1] @ query
        truth = allowed[np.argsort(-scores, kind="stable")[:k]]
        near = file.may_be_nearest(query, allowed, k)
        assert set(truth) <= set(near)
        assert len(near) < 3 * k + 20

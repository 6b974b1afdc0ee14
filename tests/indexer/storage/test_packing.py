"""Twelve bits a number: how near they are, that nothing shifts on the way, and what their upper parts alone tell."""

import numpy as np
import pytest

from indexer.storage.packing import approximate_scores, pack, unpack, width


def unit(count: int, dimension: int) -> np.ndarray:
    rows = np.random.default_rng(dimension).normal(size=(count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("dimension", [1, 3, 4, 16, 255, 256, 512, 1024])
def test_a_number_is_off_by_half_a_unit_at_most(dimension: int) -> None:
    rows = unit(200, dimension)
    back = unpack(pack(rows), dimension)
    greatest = np.abs(rows).max(axis=1, keepdims=True)
    assert (np.abs(back - rows) <= greatest / 2048).all()  # at worst: the greatest is just above a power of two
    assert back.dtype == np.float32


def test_at_512_dimensions_it_is_as_true_as_float16_is_in_its_greatest_numbers() -> None:
    rows, questions = unit(500, 512), unit(50, 512)
    back = unpack(pack(rows), 512)
    assert np.abs(back - rows).max() <= 1.3e-4
    assert np.abs(questions @ (back - rows).T).max() < 3e-4
    assert np.sqrt(np.mean((questions @ (back - rows).T) ** 2)) < 5e-5


@pytest.mark.parametrize("dimension", [4, 7, 512])
def test_packed_again_it_stays_as_it_is_also_by_way_of_float16(dimension: int) -> None:
    records = pack(unit(300, dimension))
    assert records.shape == (300, width(dimension))
    rows = unpack(records, dimension)
    np.testing.assert_array_equal(pack(rows), records)
    halves = rows.astype(np.float16)
    np.testing.assert_array_equal(halves.astype(np.float32), rows)
    np.testing.assert_array_equal(pack(halves.astype(np.float32)), records)


@pytest.mark.parametrize("row", [[1, 0, 0, 0], [-1, 0.5, 0, 0], [0.99999, -0.99999, 1e-9, 0], [0, 0, 0, 0]])
def test_extremes(row: list[float]) -> None:
    rows = np.array([row], np.float32)
    np.testing.assert_allclose(unpack(pack(rows), 4), rows, atol=1 / 2048)
    assert np.abs(unpack(pack(rows), 4)).max() <= 1


def test_by_hand() -> None:
    rows = np.array([[0.5, -0.25, 2**-11]], np.float32)  # 0.5 = 1024 * 2**-11
    assert pack(rows).tolist() == [[11, 64, 256 - 32, 0, 0 | 1 << 4, 0]]  # 1024 = 64 * 16, -512 = -32 * 16, 1


@pytest.mark.parametrize("dimension", [16, 255, 512])
def test_rough_scores_stray_as_far_as_they_say(dimension: int) -> None:
    records = pack(unit(2000, dimension))
    strays = []
    for query in unit(20, dimension):
        scores, deviations = approximate_scores(records, query)
        strays.append((scores - unpack(records, dimension) @ query) / deviations)
    assert np.std(strays) == pytest.approx(1, abs=0.1)
    assert abs(np.mean(strays)) < 0.1
    assert np.abs(strays).max() < 6

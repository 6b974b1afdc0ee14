"""Twelve bits a number: how near they are, that nothing shifts when they travel, and that older catalogs are read."""

import numpy as np
import pytest

from indexer.packing import pack, unpack


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
    blobs = pack(unit(300, dimension))
    rows = unpack(blobs, dimension)
    assert pack(rows) == blobs
    halves = rows.astype(np.float16)
    np.testing.assert_array_equal(halves.astype(np.float32), rows)
    assert pack(halves.astype(np.float32)) == blobs


@pytest.mark.parametrize("row", [[1, 0, 0, 0], [-1, 0.5, 0, 0], [0.99999, -0.99999, 1e-9, 0], [0, 0, 0, 0]])
def test_extremes(row: list[float]) -> None:
    rows = np.array([row], np.float32)
    np.testing.assert_allclose(unpack(pack(rows), 4), rows, atol=1 / 2048)
    assert np.abs(unpack(pack(rows), 4)).max() <= 1


def test_by_hand() -> None:
    rows = np.array([[0.5, -0.25, 2**-11]], np.float32)  # 0.5 = 1024 * 2**-11
    assert pack(rows) == [bytes([11, 64, 256 - 32, 0, 0 | 1 << 4, 0])]  # 1024 = 64 * 16, -512 = -32 * 16, 1


def test_float16_of_earlier_catalogs_is_read_beside_it() -> None:
    rows = unit(5, 8)
    blobs = pack(rows)
    blobs[1] = rows[1].astype("<f2").tobytes()
    blobs[4] = rows[4].astype("<f2").tobytes()
    np.testing.assert_allclose(unpack(blobs, 8), rows, atol=3e-4)
    np.testing.assert_array_equal(unpack(blobs, 8)[[1, 4]], rows[[1, 4]].astype(np.float16).astype(np.float32))


def test_none_are_none() -> None:
    assert unpack([], 8).shape == (0, 8)
    assert pack(np.empty((0, 8), np.float32)) == []

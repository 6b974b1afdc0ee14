"""Vectors as they are kept: records of twelve bits a number, three quarters of float16's bytes and as true.

A vector's numbers are whole multiples of one power of two, the smallest with which the greatest of them fits into
twelve bits. Of a unit vector of 512 dimensions that is 2**-13 as a rule: off by 6e-5 at most, which is what float16
does to its greatest numbers, and 3.5e-5 in a cosine. Every such number is one of float16 too, so that vectors travel as
float16 and come back as they were.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from indexer.items import Float32Array

Records = npt.NDArray[np.uint8]

# Of twelve bits, one is the sign: from -2048 to 2047.
GREATEST = 2047
NIBBLE = 16

# What the upper eight bits leave out: on average, and how far it strays (of an even distribution).
LEFT_OUT = (NIBBLE - 1) / 2
STRAYS = NIBBLE / 12**0.5

# Records that are float32 at once: what stays in the cache.
BLOCK = 512


def width(dimension: int) -> int:
    """The bytes of a record: the power, the upper eight bits of all numbers, and the lower four, two a byte.

    >>> width(512)
    769
    """
    return 1 + dimension + _half(dimension)


def pack(rows: Float32Array) -> Records:
    """Rows `[n, dim]` as records `[n, width]`."""
    rows = np.asarray(rows, np.float32)
    peaks = np.abs(rows).max(axis=1, initial=0)
    powers = 11 - np.frexp(peaks)[1]
    powers -= np.rint(np.ldexp(peaks, powers)) > GREATEST  # rounded up to one too many
    numbers = np.rint(np.ldexp(rows, powers[:, np.newaxis])).astype(np.int16)
    upper, lower = (numbers >> 4).astype(np.int8), (numbers & (NIBBLE - 1)).astype(np.uint8)
    half = _half(rows.shape[1])
    pairs = lower[:, :half].copy()
    pairs[:, : rows.shape[1] - half] |= lower[:, half:] << 4
    return np.concatenate([powers.astype(np.int8)[:, np.newaxis].view(np.uint8), upper.view(np.uint8), pairs], axis=1)


def unpack(records: Records, dimension: int) -> Float32Array:
    """The rows `[n, dim]` of records that `pack` made."""
    half = _half(dimension)
    pairs = records[:, 1 + dimension :]
    numbers = np.multiply(_upper(records, dimension), NIBBLE, dtype=np.int16)
    numbers[:, :half] += pairs & (NIBBLE - 1)
    numbers[:, half:] += pairs[:, : dimension - half] >> 4
    with np.errstate(over="ignore", invalid="ignore"):
        rows: Float32Array = np.multiply(numbers, _units(records), dtype=np.float32)
    return rows


def approximate_scores(records: Records, query: Float32Array) -> tuple[Float32Array, Float32Array]:
    """The inner products `[n]` with a query `[dim]` by the upper eight bits alone, and their standard deviations `[n]`.

    A third of the work of `unpack`: 10,000 records of 512 dimensions in 1.9 ms instead of 11.
    """
    products = np.empty(len(records), np.float32)
    for start in range(0, len(records), BLOCK):
        block = slice(start, start + BLOCK)
        products[block] = _upper(records[block], len(query)).astype(np.float32) @ query  # (n, dim) @ (dim) -> (n)
    units = _units(records)[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        scores = units * (NIBBLE * products + LEFT_OUT * query.sum())
        return scores, units * np.float32(STRAYS * np.linalg.norm(query))


def _half(dimension: int) -> int:
    return (dimension + 1) // 2


def _upper(records: Records, dimension: int) -> npt.NDArray[np.int8]:
    return records[:, 1 : 1 + dimension].view(np.int8)


def _units(records: Records) -> Float32Array:
    """What a one stands for in each record, `[n, 1]`."""
    with np.errstate(over="ignore"):  # of a damaged record
        units: Float32Array = np.ldexp(np.float32(1), -records[:, :1].view(np.int8).astype(np.int32))
    return units

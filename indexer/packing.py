"""Vectors as the catalog keeps them: twelve bits a number, three quarters of float16's bytes and as true.

A vector's numbers are whole multiples of one power of two, the smallest with which the greatest of them fits into
twelve bits. Of a unit vector of 512 dimensions that is 2**-13 as a rule: off by 6e-5 at most, which is what float16
does to its greatest numbers, and 3.5e-5 in a cosine. Every such number is one of float16 too, so that vectors travel as
float16 and come back as they were. Catalogs of earlier versions hold float16 itself: a blob's length tells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from indexer.items import Float32Array

# Of twelve bits, one is the sign: from -2048 to 2047.
GREATEST = 2047
NIBBLE = 16


def pack(rows: Float32Array) -> list[bytes]:
    """Rows `[n, dim]` as a blob each: the power, the upper eight bits of all numbers, and the lower four, two a byte.

    >>> [len(blob) for blob in pack(np.ones((1, 512), np.float32))]
    [769]
    """
    rows = np.asarray(rows, np.float32)
    peaks = np.abs(rows).max(axis=1, initial=0)
    powers = 11 - np.frexp(peaks)[1]
    powers -= np.rint(np.ldexp(peaks, powers)) > GREATEST  # rounded up to one too many
    numbers = np.rint(np.ldexp(rows, powers[:, np.newaxis])).astype(np.int16)
    upper, lower = (numbers >> 4).astype(np.int8), (numbers & (NIBBLE - 1)).astype(np.uint8)
    half = _half(rows.shape[1])
    pairs = lower[:, :half].copy()
    pairs[:, : rows.shape[1] - half] |= lower[:, half:] << 4
    blobs = np.concatenate([powers.astype(np.int8)[:, np.newaxis].view(np.uint8), upper.view(np.uint8), pairs], axis=1)
    return [blob.tobytes() for blob in blobs]


def unpack(blobs: Sequence[bytes], dimension: int) -> Float32Array:
    """The rows `[n, dim]` of blobs that `pack` made, or that are float16."""
    size = 1 + dimension + _half(dimension)
    if all(len(blob) == size for blob in blobs):
        return _twelve_bits(np.frombuffer(b"".join(blobs), np.uint8).reshape(len(blobs), size), dimension)
    rows = np.empty((len(blobs), dimension), np.float32)
    packed = np.array([len(blob) == size for blob in blobs])
    for kind, decode in ((True, unpack), (False, _float16)):
        places = np.flatnonzero(packed == kind)
        if len(places):
            rows[places] = decode([blobs[place] for place in places.tolist()], dimension)
    return rows


def _half(dimension: int) -> int:
    return (dimension + 1) // 2


def _twelve_bits(blobs: npt.NDArray[np.uint8], dimension: int) -> Float32Array:
    half = _half(dimension)
    pairs = blobs[:, 1 + dimension :]
    numbers = np.multiply(blobs[:, 1 : 1 + dimension].view(np.int8), NIBBLE, dtype=np.int16)
    numbers[:, :half] += pairs & (NIBBLE - 1)
    numbers[:, half:] += pairs[:, : dimension - half] >> 4
    unit = np.ldexp(np.float32(1), -blobs[:, :1].view(np.int8).astype(np.int32))
    rows: Float32Array = np.multiply(numbers, unit, dtype=np.float32)
    return rows


def _float16(blobs: Sequence[bytes], dimension: int) -> Float32Array:
    return np.frombuffer(b"".join(blobs), "<f2").reshape(len(blobs), dimension).astype(np.float32)

"""Vectors as a library keeps them, for tests of indexes that read them again."""

from itertools import count
from pathlib import Path

import numpy as np

from indexer.items import Float32Array, Vectors
from indexer.storage.packing import pack, unpack
from indexer.storage.stored_vectors import StoredVectors

_numbers = count(1)


def rounded(rows: np.ndarray) -> Float32Array:
    """Rows `[n, dim]` as a library gives them back."""
    return unpack(pack(rows), rows.shape[1])


def stored(vectors: Vectors) -> StoredVectors:
    """These vectors in a file of their own in the working directory, which a test has made its own."""
    kept = StoredVectors(Path(f"{next(_numbers)}.vectors").absolute(), vectors.rows.shape[1])
    kept.write(vectors.ids, vectors.rows)
    kept.close()
    return kept

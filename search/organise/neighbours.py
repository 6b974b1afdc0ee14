"""Which photos of a library lie close to each other: pairs by the cosine of their vectors, also among a million."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import faiss
import numpy as np

from indexer.items import Float32Array, Int64Array, Vectors
from indexer.storage.catalog import Catalog

# Neighbours looked at of each photo: a picture with more copies is found whole through the copies' own neighbours.
NEIGHBOURS = 8

# Up to so many photos each is compared with all; beyond, with those of the nearest lists of an inverted file.
ALL_UP_TO = 20_000

# Of an inverted file, the lists that are looked into, and the photos a list that its centres are learnt from. Of
# 50,000 synthetic photos a copy at cosine 0.81 is found in 97.6 % with 4 lists and 99.2 % with 8; 200,000 take 29 s of
# one core.
LISTS_PROBED = 8
LEARNT_FROM = 40


class Pairs(NamedTuple):
    """Pairs of ids `[n, 2]`, the lower first, each pair once, and their cosines `[n]`."""

    ids: Int64Array
    cosines: Float32Array


def near_pairs(catalog: Catalog, modality: str, least: float, *, leave_out: Int64Array) -> Pairs:
    """The pairs of items whose vectors have a cosine of at least `least`, but for those with an id of `leave_out`.

    Exact up to `ALL_UP_TO` items and `NEIGHBOURS` neighbours; beyond that, nearly so.
    """
    index = _index(catalog, modality, leave_out)
    found = [_above(index, piece, least) for piece in _pieces(catalog, modality, leave_out)]
    ids = np.concatenate([pairs for pairs, _ in found]) if found else np.empty((0, 2), np.int64)
    cosines = np.concatenate([cosines for _, cosines in found]) if found else np.empty(0, np.float32)
    _, once = np.unique(ids @ (ids.max(initial=0) + 1, 1), return_index=True)  # a pair as one number: quick to compare
    return Pairs(ids[once], np.minimum(cosines[once], 1))


def _above(index: Any, piece: Vectors, least: float) -> tuple[Int64Array, Float32Array]:
    """The pairs `[n, 2]` of the piece's items and their neighbours, the lower id first, and their cosines `[n]`."""
    cosines, ids = index.search(piece.rows, NEIGHBOURS + 1)  # itself is one
    own = np.broadcast_to(piece.ids[:, np.newaxis], ids.shape)
    wanted = (cosines >= least) & (ids != own) & (ids >= 0)
    pairs = np.sort(np.stack([own[wanted], ids[wanted]], axis=1), axis=1)
    return pairs, cosines[wanted]


def _index(catalog: Catalog, modality: str, leave_out: Int64Array) -> Any:
    """A FAISS index of its own: the library's may be tuned for sentences, and photos' neighbours are nearer."""
    count = catalog.counts().get(modality, 0) - len(leave_out)
    dimension = int(catalog.meta()["dimension"])
    lists = 1 << round(np.log2(2 * np.sqrt(max(count, 1))))
    kind = "IDMap,Flat" if count <= ALL_UP_TO else f"IVF{lists},SQfp16"
    index: Any = faiss.index_factory(dimension, kind, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        step = max(1, count // (LEARNT_FROM * lists))
        sample = [piece.rows[::step] for piece in _pieces(catalog, modality, leave_out)]
        index.train(np.concatenate(sample))
        index.nprobe = LISTS_PROBED
    for piece in _pieces(catalog, modality, leave_out):
        index.add_with_ids(piece.rows, piece.ids)
    return index


def _pieces(catalog: Catalog, modality: str, leave_out: Int64Array) -> Iterator[Vectors]:
    """The vectors of the catalog, in bounded pieces."""
    for vectors in catalog.vectors_since(modality, 0):
        kept = ~np.isin(vectors.ids, leave_out)
        if kept.any():
            yield Vectors(vectors.ids[kept], np.ascontiguousarray(vectors.rows[kept]))

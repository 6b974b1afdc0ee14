"""The vectors of one modality, searched by cosine: exactly, or through an inverted file if one was built.

An index can be made again from the library at any time. A question never changes it: what varies from question to
question travels in parameters. The first is answered in numpy, before FAISS is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from indexer.items import Float32Array, Int64Array
from indexer.nearest.exact import MANY, Exact, best, nearest_stored
from indexer.nearest.ivf_parameters import READ_ALL, REFINE_FACTOR
from indexer.nearest.saved import DamagedIndex, MappedIVF, Sealed
from indexer.storage.stored_vectors import StoredVectors

if TYPE_CHECKING:
    from indexer.nearest.ivf import IVF


class VectorIndex:
    """Unit vectors by id. `revision` is the catalog's state that they stand for.

    Whoever searches does not notice the kind: an exact index finds the nearest, an inverted file `ivf` nearly all of
    them, and the scores of both are exact. `fresh` is what is searched exactly: all, or what has come since `ivf` was
    built; `gone` are the ids of what has gone from it since.
    """

    def __init__(
        self,
        stored: StoredVectors,
        ids: Int64Array | None = None,
        *,
        ivf: IVF | MappedIVF | None = None,
        revision: int = 0,
        all_ids: Callable[[], Int64Array] | None = None,
    ) -> None:
        """`ids` are those that are not in the inverted file `ivf`, all of them if there is none.

        `all_ids` gives the ids of all vectors, for the case that a saved inverted file proves to be damaged.
        """
        self.stored, self.revision = stored, revision
        self.fresh = Exact(stored, np.empty(0, np.int64) if ids is None else ids)
        self.ivf = ivf
        self.gone: Int64Array = np.empty(0, np.int64)
        self._removed = self.gone  # of all
        self._was_asked = False
        self._all_ids = all_ids

    def __len__(self) -> int:
        return len(self.fresh) + (len(self.ivf) - len(self.gone) if self.ivf is not None else 0)

    @property
    def is_exact(self) -> bool:
        """Whether it finds the nearest without fail; otherwise most of them, see `descry optimize`."""
        return self.ivf is None

    def add(self, ids: Int64Array) -> None:
        """Adds ids that the index does not hold yet, whose vectors are stored."""
        self.fresh.add(ids)

    def remove(self, ids: Int64Array) -> None:
        """Removes ids; those that are not there are no error."""
        if not len(ids):
            return
        self.fresh.remove(ids)
        self._removed = np.union1d(self._removed, ids)
        if self.ivf is not None:
            try:
                self.gone = np.union1d(self.gone, self.ivf.held(ids))
            except DamagedIndex:
                self._search_exactly()

    def search(
        self, queries: Float32Array, k: int, *, allowed: Int64Array | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """The `k` nearest of each query row: scores `[q, k]` (cosines) and ids `[q, k]`, best first, ties by id.

        `allowed` limits the search to those ids. Where fewer than `k` are left, ids are -1 and scores -inf.
        """
        found = min(k, len(self) if allowed is None else min(len(self), len(allowed)))
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        if found and len(queries):
            queries = np.ascontiguousarray(queries, dtype=np.float32)
            try:
                scores[:, :found], ids[:, :found] = self._nearest(queries, found, allowed)
            except DamagedIndex:
                self._search_exactly()
                return self.search(queries, k, allowed=allowed)
        return scores, ids

    def _search_exactly(self) -> None:
        """Does without the inverted file, which is damaged: whoever writes next makes it anew."""
        self.ivf, self.gone = None, self.gone[:0]
        self.fresh = Exact(self.stored, self._all_ids() if self._all_ids else self.fresh.ids)

    def _nearest(self, queries: Float32Array, k: int, allowed: Int64Array | None) -> tuple[Float32Array, Int64Array]:
        if self.ivf is None:
            return self.fresh.nearest(queries, k, allowed)
        if allowed is not None:
            allowed = np.setdiff1d(allowed, self._removed) if len(self._removed) else allowed
            if len(allowed) * self.stored.dimension <= READ_ALL:
                return Exact(self.stored, self.stored.within(allowed)).nearest(queries, k, None)
        candidates = self._by_code(self.ivf, queries, k, allowed)
        found = [
            nearest_stored(self.stored, own[own >= 0], query, k) for query, own in zip(queries, candidates, strict=True)
        ]
        scores, ids = np.stack([scores for scores, _ in found]), np.stack([ids for _, ids in found])
        if not len(self.fresh):
            return scores, ids
        more_scores, more_ids = self.fresh.nearest(queries, k, allowed)
        both = zip(np.hstack([scores, more_scores]), np.hstack([ids, more_ids]), strict=True)
        ranked = [best(row[own >= 0], own[own >= 0], k) for row, own in both]
        return np.stack([scores for scores, _ in ranked]), np.stack([ids for _, ids in ranked])

    def _by_code(self, ivf: IVF | MappedIVF, queries: Float32Array, k: int, allowed: Int64Array | None) -> Int64Array:
        """The ids whose codes are nearest: in numpy for a first question without a filter, then in FAISS."""
        refine_k = max(ivf.refine_k, REFINE_FACTOR * k)
        if isinstance(ivf, MappedIVF):
            if not self._was_asked and allowed is None and len(queries) <= MANY:
                self._was_asked = True
                return ivf.by_code(queries, refine_k, k, self.gone)
            ivf = self.ivf = self._in_faiss(ivf.file)
        from indexer.nearest.prefilter import one_thread

        if len(queries) == 1:
            with one_thread():
                return ivf.by_code(queries, refine_k, k, self.gone, allowed)
        return ivf.by_code(queries, refine_k, k, self.gone, allowed)

    def _in_faiss(self, file: Sealed) -> IVF:
        from indexer.nearest.ivf import IVF  # late: FAISS takes longer to import than a question takes

        return IVF.opened(file)

    def in_faiss(self) -> IVF | None:
        """The inverted file in FAISS, to be written with what has changed; None if there is none."""
        if isinstance(self.ivf, MappedIVF):
            self.ivf = self._in_faiss(self.ivf.file)
        return self.ivf

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all: up to `count` of them, evenly spread."""
        return self.fresh.sample(count) if self.ivf is None else self.ivf.sample(count)

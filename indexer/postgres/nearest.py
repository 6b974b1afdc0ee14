"""The nearest vectors of a library on a server: few are all compared, of many an approximate index finds candidates.

Which index that is, is this module's one seam, `ApproximateIndex`. Scores are exact cosines of the catalog's vectors,
whatever finds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import numpy as np

from indexer.errors import LibraryError
from indexer.items import Allowed, Float32Array, Int64Array
from indexer.nearest.exact import best, cosines
from indexer.postgres import schema
from indexer.postgres.catalog import EXACT, PostgresCatalog, Where, joins_of
from indexer.postgres.connection import HalfVector, as_array, half_vectors

# What HNSW looks at for a question, at least, pgvector's `hnsw.ef_search`, and what it takes at most: of 200,000 photos
# recall@10 .99 in 5.7 ms; at 100 .88 in 5.3 (benchmarks.shared_library).
EF_SEARCH, MOST_EF_SEARCH = 200, 1000

# Candidates beyond those asked for: the server compares float16 numbers, of which equal ones come in any order.
SPARE = 16

# What the order of adding up may change in a cosine.
ROUNDING = 1e-5

Candidates = tuple[Int64Array, Float32Array]


class ApproximateIndex(Protocol):
    """What finds nearly all of the nearest among many vectors, at most `most` for a question."""

    most: int

    def candidates(self, modality: str, query: Float32Array, depth: int, where: Where | None) -> Candidates:
        """The `depth` nearest that meet a condition: ids `[n]` and vectors `[n, dim]`, the nearest first.

        Fewer where there are no others, or it gave up. `query` `[dim]` has numbers that float16 has.
        """

    def save(self) -> None:
        """Brings the index up to date."""

    def behind(self) -> int:
        """How many changes of the catalog the index lacks."""


def compared(
    catalog: PostgresCatalog, modality: str, query: Float32Array, depth: int, sql: str, values: Sequence[Any] = ()
) -> Candidates:
    """The `depth` nearest of the vectors of those ids that SQL tells, all of them compared by the server."""
    found = catalog.server.execute(
        f"SELECT vectors.id, vector FROM vectors WHERE vectors.modality = ? {sql} "
        "ORDER BY (vector <#> ?) + 0, vectors.id LIMIT ?",  # which no index has
        (modality, *values, HalfVector(query), depth),
        binary=True,
    ).fetchall()
    return _candidates(found, len(query))


def _candidates(found: Sequence[tuple[int, bytes]], dimension: int) -> Candidates:
    return np.array([id for id, _ in found], np.int64), half_vectors([vector for _, vector in found], dimension)


def _allowed_sql(allowed: Allowed | None) -> tuple[str, tuple[Any, ...]]:
    """What limits a comparison to what is allowed: an array is looked up, however many the planner expects."""
    if isinstance(allowed, Where):
        return f"AND vectors.id = ANY(ARRAY({allowed.ids}))", (allowed.modality, *allowed.values)
    return ("", ()) if allowed is None else ("AND vectors.id = ANY(?::bigint[])", (as_array(allowed.tolist()),))


class HNSW:
    """The server's own indexes of the vectors, pgvector's HNSW, one a modality; they grow with their table."""

    most = MOST_EF_SEARCH

    def __init__(self, catalog: PostgresCatalog) -> None:
        self._catalog = catalog

    def candidates(self, modality: str, query: Float32Array, depth: int, where: Where | None) -> Candidates:
        """See `ApproximateIndex`: it goes on until enough have passed the condition."""
        server = self._catalog.server
        server.native(
            "SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', 'strict_order', true)",
            (str(min(max(EF_SEARCH, 2 * depth), MOST_EF_SEARCH)),),
        )
        joins, condition, values = "", "", tuple[Any, ...]()
        if where is not None:
            joins = f"JOIN items ON items.id = vectors.id {joins_of(where.sql)}"
            condition, values = f"AND ({where.sql})", where.values
        found = server.execute(
            f"SELECT vectors.id, vector FROM vectors {joins} WHERE vectors.modality = ? {condition} "
            "ORDER BY vector <#> ? LIMIT ?",
            (modality, *values, HalfVector(query), depth),
            binary=True,
        ).fetchall()
        return _candidates(found, len(query))

    def save(self) -> None:
        """Makes the indexes that are missing, of what is too much to be compared; others go on meanwhile."""
        for modality in self._catalog.modalities():
            if self._catalog.count(modality) > EXACT:
                self._build(modality)

    def _build(self, modality: str) -> None:
        server, name = self._catalog.server, f"vectors_nearest_{modality}"
        ((may,),) = server.native(
            "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'descry.vectors'::regclass"
        ).fetchall()
        if not may:  # an indexer that may write and no more leaves it to the owner's next run
            return
        with server.alone(schema.MIGRATING, wait=False) as is_alone:
            if not is_alone:  # somebody is making it
                return
            found = server.native(
                "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (f"descry.{name}",)
            ).fetchone()
            if found is not None and not found[0]:  # its maker was killed
                server.native(f"DROP INDEX {name}")
            if found is None or not found[0]:
                server.native(
                    f"CREATE INDEX CONCURRENTLY {name} ON vectors USING hnsw (vector halfvec_ip_ops) "
                    f"WHERE modality = '{modality}'"
                )

    def behind(self) -> int:
        """None: an index on a server grows with its table."""
        return 0


class PostgresIndex:
    """The vectors of one modality, searched by the server; see `indexer.nearest.index.VectorIndex`."""

    is_exact = False

    def __init__(self, catalog: PostgresCatalog, modality: str, approximate: ApproximateIndex) -> None:
        self._catalog, self._modality, self._approximate = catalog, modality, approximate

    def __len__(self) -> int:
        return self._catalog.count(self._modality)

    def search(
        self, queries: Float32Array, k: int, *, allowed: Allowed | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """The `k` nearest of each query row: scores `[q, k]` (cosines) and ids `[q, k]`, best first, ties by id.

        `allowed` limits the search to those ids, or to what a condition lets through. Where fewer than `k` are
        left, ids are -1 and scores -inf.
        """
        with self._catalog.snapshot():
            found = [self._nearest(query, k, allowed) for query in np.asarray(queries, np.float32)]
        if not found:
            return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
        return np.stack([scores for scores, _ in found]), np.stack([ids for _, ids in found])

    def _nearest(self, query: Float32Array, k: int, allowed: Allowed | None) -> tuple[Float32Array, Int64Array]:
        """The `k` nearest to a query `[dim]`, as `exact.best` gives them.

        With few to compare, ids that are named, or many to find, without fail; else nearly all. Scores are exact.
        """
        if isinstance(allowed, Where):
            total, are_named = allowed.total, False
        else:
            total, are_named = (len(self), False) if allowed is None else (len(allowed), True)
        is_exact = total <= EXACT or are_named or k + SPARE > self._approximate.most
        half = query.astype(np.float16).astype(np.float32)
        strays = float(np.linalg.norm(query - half)) + ROUNDING
        depth = k + SPARE
        while True:
            if is_exact:
                sql, values = _allowed_sql(allowed)
                ids, rows = compared(self._catalog, self._modality, half, depth, sql, values)
            else:
                ids, rows = self._approximate.candidates(self._modality, half, depth, allowed)
                if len(ids) < min(depth, total):  # it gave up before enough had passed the filter
                    is_exact = True
                    continue
            scores, nearest = best(cosines(rows, query), ids, k)
            # what was left behind is no nearer than the last that came, but for what rounding hides
            if len(ids) < depth or float(rows[-1] @ half) + strays < scores[-1]:
                return scores, nearest
            if not is_exact and 4 * depth > self._approximate.most:
                return scores, nearest
            depth *= 4

    def sample(self, count: int) -> Float32Array:
        """Rows `[m, dim]` that stand for all: up to `count` of them, evenly spread."""
        return self._catalog.evenly_spread(self._modality, count)


class PostgresIndexes:
    """The indexes of a library on a server."""

    def __init__(self, catalog: PostgresCatalog, approximate: ApproximateIndex) -> None:
        self._catalog, self.approximate = catalog, approximate

    def index(self, modality: str) -> PostgresIndex:
        """The vectors of one modality."""
        return PostgresIndex(self._catalog, modality, self.approximate)

    def save(self) -> None:
        """Brings the approximate index up to date."""
        self.approximate.save()

    def outgrown(self) -> dict[str, Any]:
        """None: an index on a server is not chosen by its size."""
        return {}

    def behind(self) -> int:
        """How many changes the approximate index lacks."""
        return self.approximate.behind()

    def optimize(self, *_: object, **__: object) -> NoReturn:
        """Raises `LibraryError`: the server's indexes are made by `descry index`."""
        raise LibraryError("A library on a server has an index that `descry index` makes: there is nothing to choose.")

"""The one place that answers: query -> one unit vector -> nearest items -> hits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from indexer.encoders.base import Encoder, unit_rows
from indexer.errors import QueryError, SourceError
from indexer.files import as_stored
from indexer.items import Float32Array, Int64Array
from indexer.library import Library
from search.filters import FUNCTIONS, Filter, to_sql
from search.fusion import weighted
from search.hits import Hit
from search.query import Query, Term, parse
from search.rerank import RERANKERS


class Engine:
    """Searches one library. Keeps what it has loaded, so that a second question is quick."""

    def __init__(self, library: Library, encoder: Encoder | None = None, *, device: str = "auto") -> None:
        """`encoder` is the library's own unless one is given. Raises `EncoderMismatch` for a strange one."""
        if encoder is not None:
            library.check(encoder)
        for name, (arguments, function) in FUNCTIONS.items():
            library.catalog.connection.create_function(name, arguments, function, deterministic=True)
        self.library = library
        self.encoder = encoder or library.encoder(device=device)

    def search(self, query: Query | str) -> list[Hit]:
        """The nearest items, best first, equal ones in the order of their ids. Raises `QueryError`."""
        return self.search_many([query])[0]

    def search_many(self, queries: Sequence[Query | str]) -> list[list[Hit]]:
        """The hits of each query, all from one state of the library."""
        parsed = [parse(query) if isinstance(query, str) else query for query in queries]
        for query in parsed:
            self._check_wanted(query)
        rows = self.embed(parsed)
        with self.library.catalog.snapshot():
            filtered = {(query.wanted, tuple(query.filters)) for query in parsed}  # those of many queries are often one
            allowed = {key: self._allowed(*key) for key in filtered}
            return [
                self._nearest(query, row, allowed[query.wanted, tuple(query.filters)])
                for query, row in zip(parsed, rows, strict=True)
            ]

    def embed(self, queries: Sequence[Query]) -> Float32Array:
        """The queries as unit rows `[n, dim]`; a query's terms are added by weight and renormalised."""
        terms = [term for query in queries for term in query.terms]
        vectors = iter(self._embed_terms(terms))
        fused = [
            weighted([next(vectors) for _ in query.terms], [term.weight for term in query.terms]) for query in queries
        ]
        rows = np.stack(fused) if fused else np.empty((0, self.library.dimension), np.float32)
        for query, row in zip(queries, rows, strict=True):
            if not row.any():
                raise QueryError(f"The terms of the query cancel each other out: {_words(query)}.")
        return rows

    def truncated(self, query: Query) -> list[str]:
        """The sentences of the query of which the encoder sees only the beginning."""
        return [
            term.value
            for term in query.terms
            if isinstance(term.value, str) and not self.encoder.tower(term.modality).fits(term.value)
        ]

    def _embed_terms(self, terms: Sequence[Term]) -> Float32Array:
        """One unit row a term, in their order; each tower is asked once, with all that is its."""
        rows = np.empty((len(terms), self.library.dimension), np.float32)
        for modality in {term.modality for term in terms}:
            places = [place for place, term in enumerate(terms) if term.modality == modality]
            rows[places] = self.encoder.embed(modality, [_value(terms[place]) for place in places])
        return unit_rows(rows)

    def _check_wanted(self, query: Query) -> None:
        if query.wanted not in self.encoder.modalities:
            raise QueryError(f"{query.wanted!r} cannot be looked for; {' and '.join(self.encoder.modalities)} can.")

    def _nearest(self, query: Query, row: Float32Array, allowed: Int64Array | None) -> list[Hit]:
        own = set() if query.include_self else self._own_ids(query)
        index = self.library.index(query.wanted)
        reach = min(query.k + len(own), len(index))  # asked for a million of ten, looks for ten
        if not reach:
            return []
        scores, ids = index.search(row[np.newaxis], reach, allowed=allowed)
        found = {
            int(id): float(score) for id, score in zip(ids[0], scores[0], strict=True) if id >= 0 and id not in own
        }
        nearest = list(found)[: query.k]
        items = self.library.catalog.items(nearest)
        hits = [Hit(item, found[item.id or 0], missing=not item.path.exists()) for item in items]
        for rerank in RERANKERS:
            hits = rerank(query, hits)
        return hits

    def _allowed(self, wanted: str, filters: Sequence[Filter]) -> Int64Array | None:
        """The ids of a modality that filters let through; None if there are no filters."""
        return self.library.catalog.ids(wanted, *to_sql(filters)) if filters else None

    def _own_ids(self, query: Query) -> set[int]:
        """The ids under which the query's own files stand in the library."""
        paths = [term.value for term in query.terms if isinstance(term.value, Path)]
        places = {place for path in paths for place in (as_stored(path), path.resolve())}
        items = [item for place in places for item in self.library.catalog.items_at(place, query.wanted)]
        return {item.id for item in items if item.id is not None}


def _value(term: Term) -> Any:
    """What the tower embeds: the sentence itself, or the first item of the file."""
    if isinstance(term.value, str):
        return term.value
    from indexer.modalities import MODALITIES  # late: a search by sentence needs no photo decoder
    from indexer.modalities.base import ReadOptions
    from indexer.pictures import MAX_PIXELS

    options = ReadOptions(lambda _: True, MAX_PIXELS)
    try:
        for _, value in MODALITIES[term.modality].read(term.value, options):
            return value
    except SourceError as error:
        raise QueryError(f"{term.value} cannot be searched with: {error}.") from error
    raise QueryError(f"{term.value} cannot be searched with: there is nothing in it.")


def _words(query: Query) -> str:
    return " ".join(f"{term.weight:+g}:{term.value}" for term in query.terms)

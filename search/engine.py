"""The one place that answers: query -> unit vectors -> nearest items -> hits; without a question, all in an order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from indexer.encoders.base import Encoder, unit_rows
from indexer.errors import QueryError, SourceError
from indexer.items import Allowed, Float32Array, Int64Array
from indexer.library import Library
from indexer.storage.files import as_stored
from search.filters import FUNCTIONS, SAME_TYPE, Filter, to_sql
from search.hits import Candidate, Hit
from search.languages import embed_questions, is_foreign, is_to_be_made, not_understood
from search.query import PICTURES, STORED, Order, Query, Term, modalities_named, parse
from search.rerank import diverse, rocchio, unique, weighted
from search.retrieval import WEIGHED, JoinedIndex, Retrieval, Together, reach_of, together

if TYPE_CHECKING:
    from indexer.nearest.index import VectorIndex
    from search.relevance import Judge

# Stored vectors that stand for a library: mean and median of the cosines with them are known to 3 % of their spread.
SAMPLE = 2000

# Answers of the catalog that are kept, at 8 bytes an id: the last filters' and listings'.
KEPT = 8

# The order of a library without a question.
NEWEST_FIRST = "-date"

Answer = TypeVar("Answer")


class Engine:
    """Searches one library. Keeps what it has loaded, so that a second question is quick."""

    def __init__(self, library: Library, encoder: Encoder | None = None, *, device: str = "auto") -> None:
        """`encoder` is the library's own unless one is given. Raises `EncoderMismatch` for a strange one."""
        if encoder is not None:
            library.check(encoder)
        library.catalog.register_functions(FUNCTIONS)
        self._kept: dict[tuple[object, ...], Any] = {}
        self.library = library
        self.encoder = encoder or library.encoder(device=device)

    def search(self, query: Query | str) -> list[Hit]:
        """The nearest items, best first, equal ones in the order of their ids. Raises `QueryError`."""
        return self.search_many([query])[0]

    def search_many(self, queries: Sequence[Query | str]) -> list[list[Hit]]:
        """The hits of each query, all from one state of the library.

        Raises `EncoderMismatch` if the library has been given another encoder meanwhile.
        """
        parsed = [parse(query) if isinstance(query, str) else query for query in queries]
        with self.library.catalog.snapshot():
            self.library.check(self.encoder)  # `descry reembed` may have changed it since this engine was made
            parsed = [replace(query, wanted=self.held(query.wanted)) for query in parsed]
            terms = self._term_rows(parsed)
            filtered = {(query.wanted, tuple(query.filters)) for query in parsed}  # those of many queries are often one
            allowed = {key: self._allowed(*key) for key in filtered}
            return [
                self._answer(query, rows, allowed[query.wanted, tuple(query.filters)])
                for query, rows in zip(parsed, terms, strict=True)
            ]

    def embed(self, queries: Sequence[Query]) -> Float32Array:
        """What the queries ask for, as unit rows `[n, dim]`: the terms that they add, by weight.

        What a query takes away is not in its row, it weighs against what is found; only where a query does nothing
        else, its row is the opposite of that.
        """
        rows = [_row(query, terms) for query, terms in zip(queries, self._term_rows(queries), strict=True)]
        return np.stack(rows) if rows else np.empty((0, self.library.dimension), np.float32)

    def truncated(self, query: Query) -> list[str]:
        """The sentences of the query of which the encoder sees only the beginning."""
        translated = self.in_other_languages(query)
        return [
            term.value
            for term in query.terms
            if isinstance(term.value, str)
            and term.value not in translated
            and not self.encoder.tower(self._tower(term.modality)).fits(term.value)
        ]

    def in_other_languages(self, query: Query) -> list[str]:
        """The sentences of the query that are read by way of the extra `languages`; none where it is not installed."""
        return [sentence for sentence in _sentences(query) if is_foreign(self.encoder, sentence)]

    def has_to_learn(self, query: Query) -> bool:
        """Whether the encoder's map from other languages has to be made before the query can be answered."""
        return bool(self.in_other_languages(query)) and is_to_be_made(self.encoder)

    def not_understood(self, query: Query) -> list[str]:
        """The words that the encoder cannot know, where a sentence has many; none where its tower does not tell."""
        translated = self.in_other_languages(query)
        sentences = [sentence for sentence in _sentences(query) if sentence not in translated]
        is_whole = getattr(self.encoder.tower("text"), "is_whole", None) if sentences else None
        if is_whole is None:
            return []
        return [word for sentence in sentences for word in not_understood(sentence, is_whole)]

    # vectors of questions

    def _term_rows(self, queries: Sequence[Query]) -> list[Float32Array]:
        """Each query's terms as unit rows `[terms, dim]`; each tower is asked once, with all that is its."""
        terms = [term for query in queries for term in query.terms]
        rows = np.empty((len(terms), self.library.dimension), np.float32)
        towers = [STORED if term.modality == STORED else self._tower(term.modality) for term in terms]
        for tower in set(towers):
            places = [place for place, own in enumerate(towers) if own == tower]
            embed = self._stored if tower == STORED else self._embedded
            rows[places] = embed(tower, [terms[place] for place in places])
        pieces = iter(unit_rows(rows))
        return [np.stack([next(pieces) for _ in query.terms]) for query in queries]

    def _tower(self, modality: str) -> str:
        """The name of the tower that embeds a modality; a modality that is called like a tower is embedded by it."""
        if modality in self.encoder.towers:
            return modality
        if modality in PICTURES:
            return "image"
        from indexer.modalities import MODALITIES  # late: a search by sentence needs no photo decoder

        return MODALITIES[modality].tower if modality in MODALITIES else modality

    def _embedded(self, tower: str, terms: Sequence[Term]) -> Float32Array:
        distinct = {(term.modality, term.value): term for term in terms}  # queries of one question share its terms
        places = {key: place for place, key in enumerate(distinct)}
        values = [_value(term) for term in distinct.values()]
        if all(isinstance(value, str) for value in values):
            rows = embed_questions(self.encoder, values, tower=tower)
        else:
            prepare, prepared = self.encoder.tower(tower).prepare, []
            for term, value in zip(distinct.values(), values, strict=True):
                with _named(term):  # a photo is decoded only now
                    prepared.append(prepare(value))
            rows = self.encoder.tower(tower).embed(prepared)
        return rows[[places[term.modality, term.value] for term in terms]]

    def _stored(self, _tower: str, terms: Sequence[Term]) -> Float32Array:
        ids = [int(str(term.value)) for term in terms]
        vectors = self.library.catalog.vectors(ids)
        missing = sorted(set(ids) - set(vectors.ids.tolist()))
        if missing:
            raise QueryError(
                f"The library {self.library.path} holds nothing under id {missing[0]}: take one from an answer that is "
                "newer than the last change of its file."
            )
        return vectors.rows

    # answers

    def held(self, wanted: str | Sequence[str]) -> tuple[str, ...]:
        """Those of the modalities wanted of which the library holds something; the first where it holds nothing.

        Raises `QueryError` for what cannot be looked for.
        """
        kinds = modalities_named(wanted)
        self._check_kinds(kinds)
        there = tuple(kind for kind in kinds if self.library.catalog.has(kind)) if len(kinds) > 1 else ()
        return there or kinds[:1]

    def _check_kinds(self, kinds: Sequence[str]) -> None:
        towers = {kind: self._tower(kind) for kind in kinds}
        for kind in (kind for kind, tower in towers.items() if tower not in self.encoder.towers):
            from indexer.modalities import MODALITIES

            known = [modality.name for modality in MODALITIES.values() if modality.tower in self.encoder.towers]
            raise QueryError(f"{kind!r} cannot be looked for; {' and '.join(known)} can.")
        if len({*towers.values()}) > 1:
            raise QueryError(
                f"{' and '.join(kinds)} cannot be one list, as their scores cannot be compared: look for one at a time."
            )

    def _index(self, wanted: Sequence[str]) -> VectorIndex | JoinedIndex:
        first, *others = wanted
        if not others:
            return self.library.index(first)
        held = [self._remembered(("ids", kind), partial(self.library.catalog.vector_ids, kind)) for kind in others]
        indexes = [self.library.index(kind) for kind in others]
        return JoinedIndex(self.library.index(first), list(zip(indexes, held, strict=True)))

    def passing(self, wanted: str | Sequence[str], filters: Sequence[Filter]) -> Int64Array:
        """The ids that filters let through."""
        found = [self.library.catalog.ids(kind, *to_sql(filters)) for kind in self.held(wanted)]
        return np.concatenate(found) if len(found) > 1 else found[0]

    def _answer(self, query: Query, terms: Float32Array, allowed: Allowed | None) -> list[Hit]:
        """The hits of a query whose terms are the rows of `terms`: nearest, then what the query wishes of them."""
        index = self._index(query.wanted)
        rows = self._rows(query, terms)
        retrieval = Retrieval(index, rows, allowed, set() if query.include_self else self._own_ids(query))
        held, reach = self._held_words(query, len(index)), reach_of(query)
        found = retrieval.nearest(max(reach, WEIGHED * query.takes_away))
        sample = index.sample(SAMPLE) if found and (query.takes_away or query.is_cut or held) else None
        if sample is not None and query.takes_away:
            weights = np.array([term.weight for term in query.terms], np.float32)
            taken = weights < 0
            found = retrieval.without(found, terms[taken], -weights[taken] / weights.max(), sample)
        if sample is not None and query.is_cut:
            found = retrieval.fitting(found, self._judge(query), query.fits, sample, self._vectors)
        if sample is not None and held:
            several = allowed if isinstance(allowed, Together) else [allowed]
            there = held if allowed is None else set().union(*(self.library.passing(held, one) for one in several))
            found = retrieval.fused(found, {id: share for id, share in held.items() if id in there}, sample)
        found = found[:reach]
        if query.unique:
            found = unique(found, self._vectors)
        if query.rerank:
            from search.matching import reranked  # late: it is an extra, and heavy

            found = reranked(self.library, query, found)
        if query.diverse:
            found = diverse(found, self._vectors, query.k)
        if query.is_sorted:
            found = self._sorted(query, found)
        return self._hits(found, query.k)

    def _rows(self, query: Query, terms: Float32Array) -> Float32Array:
        """What the index is asked for, unit rows `[r, dim]`, drawn to what was marked."""
        weights = np.array([term.weight for term in query.terms], np.float32)
        rows = terms[weights > 0] if query.best_of_each else _row(query, terms)[np.newaxis]
        if not (query.right or query.wrong):
            return rows
        right, wrong = self._vectors(query.right), self._vectors(query.wrong)
        return np.stack([rocchio(row, right, wrong) for row in rows])

    def _judge(self, query: Query) -> Judge:
        """Who tells what fits the query."""
        from search.organise.vocabulary import rivals
        from search.relevance import judge_for

        checksum = str(self.library.catalog.meta()["checksum"])
        tower = self._tower(query.wanted[0])
        known = self._remembered(("rivals", checksum), lambda: rivals(self.library))
        return judge_for(checksum, known, asked=self._tower(query.modality), wanted=tower)

    def _sorted(self, query: Query, candidates: Sequence[Candidate]) -> list[Candidate]:
        by_id = {candidate.id: candidate for candidate in candidates}
        order = Order.of(query.sort)
        ids = self.library.catalog.listing.ids(
            query.wanted, order=order.name, descending=order.descending, among=list(by_id)
        )
        return [by_id[id] for id in ids.tolist()]

    def _held_words(self, query: Query, total: int) -> dict[int, float]:
        """The ids of items that hold words of the query, with their shares; none where words do not count."""
        if not query.by_words and (query.by_words is not None or query.is_cut):
            return {}
        from search.lexical import found_by_words

        return found_by_words(self.library.catalog, query, total)

    def words_that_count(self, query: Query) -> list[str]:
        """The words that are looked up because few items hold them, though nobody said so."""
        if query.by_words is not None or query.is_cut:
            return []
        from search.lexical import words_that_count

        query = replace(query, wanted=self.held(query.wanted))
        total = sum(map(self.library.catalog.count, query.wanted))
        return words_that_count(self.library.catalog, query, total)

    def _hits(self, candidates: Sequence[Candidate], k: int) -> list[Hit]:
        """The hits of the first `k` candidates that are there: a file that gives way to another just now is not."""
        hits: list[Hit] = []
        for start in range(0, len(candidates), k):
            by_id = {candidate.id: candidate for candidate in candidates[start : start + k]}
            hits += [
                Hit.of(item, by_id[item.id or 0]) for item in self.library.catalog.items(list(by_id))[: k - len(hits)]
            ]
            if len(hits) == k:
                break
        return hits

    def _vectors(self, ids: Sequence[int]) -> Float32Array:
        return self.library.catalog.vectors(ids).rows

    def _allowed(self, wanted: tuple[str, ...], filters: tuple[Filter, ...]) -> Allowed | None:
        """What filters let through of a modality; None if there are no filters.

        Finding them may take longer than the search: those of the last filters are kept until the library changes.
        """
        if not filters:
            return None
        return self._remembered(
            ("allowed", wanted, filters),
            lambda: together([self.library.allowed(kind, *to_sql(filters)) for kind in wanted]),
        )

    def _own_ids(self, query: Query) -> set[int]:
        """The ids that the query starts from, and those under which its files stand in the library."""
        paths = [term.value for term in query.terms if isinstance(term.value, Path)]
        places = {place for path in paths for place in (as_stored(path), path.resolve())}
        catalog = self.library.catalog
        items = [item for place in places for kind in query.wanted for item in catalog.items_at(place, kind)]
        ids = {term.value for term in query.terms if isinstance(term.value, int)}
        return ids | {item.id for item in items if item.id is not None}

    def _remembered(self, question: tuple[object, ...], answer: Callable[[], Answer]) -> Answer:
        """What the catalog answers, kept until the library changes."""
        key = (self.library.catalog.revision, *question)
        if key not in self._kept:
            while len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = found = answer()
            if isinstance(found, np.ndarray):
                found.flags.writeable = False  # so that what an index makes of them is kept too
        kept: Answer = self._kept[key]
        return kept

    # without a question

    def browse(
        self,
        wanted: str | Sequence[str] = PICTURES,
        *,
        filters: Sequence[Filter] = (),
        sort: str = NEWEST_FIRST,
        start: int = 0,
        k: int | None = None,
    ) -> list[Hit]:
        """The items that the filters let through, `k` of them from `start` on, in an order as of `Query.sort`."""
        with self.library.catalog.snapshot():
            ids = self.listed(wanted, filters=filters, sort=sort)
            items = self.library.catalog.items(ids[start : None if k is None else start + k].tolist())
        return [Hit.of(item) for item in items]

    def listed(
        self, wanted: str | Sequence[str] = PICTURES, *, filters: Sequence[Filter] = (), sort: str = NEWEST_FIRST
    ) -> Int64Array:
        """The ids `[n]` of all items that the filters let through, in order; kept until the library changes."""
        kinds = self.held(wanted)
        order, filters = Order.of(sort), tuple(filters)
        listing = self.library.catalog.listing
        ids: Int64Array = self._remembered(
            ("listed", kinds, filters, order),
            lambda: listing.ids(kinds, *to_sql(filters), order=order.name, descending=order.descending),
        )
        return ids

    def facets(
        self, wanted: str | Sequence[str] = PICTURES, *, filters: Sequence[Filter] = ()
    ) -> dict[str, dict[str, int]]:
        """How many items there are of each folder, camera, lens, type, month, tag, colour and place, by filters' names.

        `{"camera": {"Pixel 6": 812}, "on": {"2023-05": 40}, ...}`, the commonest first, of months the newest.
        """
        kinds, filters = self.held(wanted), tuple(filters)
        listing = self.library.catalog.listing
        found: dict[str, dict[str, int]] = self._remembered(
            ("facets", kinds, filters), lambda: listing.facets(kinds, *to_sql(filters))
        )
        types: Counter[str] = Counter()
        for suffix, count in found["type"].items():
            types[SAME_TYPE.get(suffix, (suffix,))[0]] += count
        return found | {"type": dict(types.most_common())}


def _sentences(query: Query) -> list[str]:
    return [term.value for term in query.terms if isinstance(term.value, str)]


def _row(query: Query, terms: Float32Array) -> Float32Array:
    """The unit vector `[dim]` of what a query asks for, its terms being the rows of `terms`."""
    weights = [term.weight for term in query.terms]
    if not weighted(terms, weights).any():
        words = " ".join(f"{term.weight:+g}:{term.value}" for term in query.terms)
        raise QueryError(f"The terms of the query cancel each other out: {words}.")
    return weighted(terms, [max(0.0, weight) for weight in weights] if query.takes_away else weights)


def _value(term: Term) -> Any:
    """What the tower embeds: the sentence itself, or the first item of the file."""
    if not isinstance(term.value, Path):
        return term.value
    from indexer.modalities import MODALITIES  # late: a search by sentence needs no photo decoder
    from indexer.modalities.base import ReadOptions

    options = ReadOptions(lambda _: True)
    with _named(term):
        for _, value in MODALITIES[term.modality].read(term.value, options):
            return value
        raise SourceError("there is nothing in it")


@contextmanager
def _named(term: Term) -> Iterator[None]:
    """Turns what is wrong with a file into a `QueryError` that names it."""
    try:
        yield
    except SourceError as error:
        raise QueryError(f"{term.value} cannot be searched with: {error}.") from error

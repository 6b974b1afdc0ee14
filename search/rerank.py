"""What happens to hits once they are found: callables `(query, hits) -> hits`, applied one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from search.hits import Hit
from search.orders import ORDERS
from search.query import Query

Reranker = Callable[[Query, Sequence[Hit]], list[Hit]]


def sort(query: Query, hits: Sequence[Hit]) -> list[Hit]:
    """The hits in the order that the query wishes; equal ones stay, those of which it is not known come last."""
    key, descending = ORDERS[query.sort]
    known = [hit for hit in hits if key(hit) is not None]
    unknown = [hit for hit in hits if key(hit) is None]
    return sorted(known, key=key, reverse=descending) + unknown


RERANKERS: tuple[Reranker, ...] = (sort,)

"""What happens to hits once they are found: callables `(query, hits) -> hits`, applied one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.engine import Hit
    from search.query import Query

Reranker = Callable[["Query", Sequence["Hit"]], list["Hit"]]


def sort(query: Query, hits: Sequence[Hit]) -> list[Hit]:
    """The hits in the order that the query wishes; those of which it is not known come last, equal ones stay."""
    key, descending = ORDERS[query.sort]
    known = [hit for hit in hits if key(hit) is not None]
    unknown = [hit for hit in hits if key(hit) is None]
    return sorted(known, key=key, reverse=descending) + unknown


def _taken(hit: Hit) -> Any:
    return hit.item.facts.get("taken") or hit.item.facts.get("modified")


def _file_size(hit: Hit) -> Any:
    return hit.item.facts.get("file_size")


# name -> what is compared, and whether the greatest comes first
ORDERS: dict[str, tuple[Callable[[Hit], Any], bool]] = {
    "relevance": (lambda hit: hit.score, True),
    "date": (_taken, True),
    "path": (lambda hit: str(hit.item.path), False),
    "size": (_file_size, True),
}

RERANKERS: tuple[Reranker, ...] = (sort,)

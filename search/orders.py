"""The orders in which hits can come: one row an order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from search.hits import Hit


class Order(NamedTuple):
    """What is compared of a hit, None where it is not known, and whether the greatest comes first."""

    key: Callable[[Hit], Any]
    descending: bool


def _date(hit: Hit) -> Any:
    """When the camera took it, else when the file was written."""
    return hit.item.facts.get("taken") or hit.item.facts.get("modified")


# How hits come if no other order is asked for: as they were found and reranked, the best first.
BY_RELEVANCE = "relevance"

ORDERS: dict[str, Order] = {
    BY_RELEVANCE: Order(lambda _: 0, descending=False),
    "date": Order(_date, descending=True),
    "path": Order(lambda hit: str(hit.item.path), descending=False),
    "size": Order(lambda hit: hit.item.facts.get("file_size"), descending=True),
}

"""The front door: what programs import. Everything lives in `indexer` (making a library) and `search` (asking it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer import Encoder, Item, Library, Report, Watcher, index_sources, load_encoder
    from search import Engine, Filter, Hit, Query, parse

__all__ = [
    "Encoder",
    "Engine",
    "Filter",
    "Hit",
    "Item",
    "Library",
    "Query",
    "Report",
    "Watcher",
    "index_sources",
    "load_encoder",
    "parse",
]


def __getattr__(name: str) -> object:
    """The name, from the package that has it: importing `descry` alone costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import indexer
    import search

    return getattr(indexer if name in indexer.__all__ else search, name)

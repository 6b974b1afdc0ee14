"""Asking a library."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.engine import Engine
    from search.filters import Filter
    from search.hits import Hit
    from search.query import Query, Term, parse

__all__ = ["Engine", "Filter", "Hit", "Query", "Term", "parse"]

_HOMES = {
    "Engine": "search.engine",
    "Filter": "search.filters",
    "Hit": "search.hits",
    "Query": "search.query",
    "Term": "search.query",
    "parse": "search.query",
}


def __getattr__(name: str) -> object:
    """A name's module is imported when the name is: the command line has something to say before numpy starts."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

"""Asking a library."""

from search.engine import Engine, Hit
from search.query import Query, Term, parse

__all__ = ["Engine", "Hit", "Query", "Term", "parse"]

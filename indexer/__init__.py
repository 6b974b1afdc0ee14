"""What a library of photos and texts is, and how it is made."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from indexer.encoders import Encoder, load_encoder
from indexer.items import Item, Vectors
from indexer.library import Library

if TYPE_CHECKING:
    from indexer.pipeline import index_sources
    from indexer.report import Report, Watcher

__all__ = ["Encoder", "Item", "Library", "Report", "Vectors", "Watcher", "index_sources", "load_encoder"]

_HOMES = {
    "Report": "indexer.report",
    "Watcher": "indexer.report",
    "index_sources": "indexer.pipeline",
}


def __getattr__(name: str) -> object:
    """What indexing needs is imported when it is asked for: a query that only searches does without it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

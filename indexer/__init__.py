"""What a library of photos and texts is, and how it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexer.encoders import Encoder, load_encoder
from indexer.items import Item, Vectors
from indexer.library import Library

if TYPE_CHECKING:
    from indexer.pipeline import Report, Watcher, index_sources

__all__ = ["Encoder", "Item", "Library", "Report", "Vectors", "Watcher", "index_sources", "load_encoder"]

_PIPELINE = {"Report", "Watcher", "index_sources"}


def __getattr__(name: str) -> object:
    """What indexing needs is imported when it is asked for: a query that only searches does without it."""
    if name not in _PIPELINE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from indexer import pipeline

    return getattr(pipeline, name)

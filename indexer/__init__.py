"""What a library of photos and texts is, and how it is made."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer.encoders import Encoder, load_encoder
    from indexer.items import Item, Vectors
    from indexer.library import Library
    from indexer.pipeline import index_sources
    from indexer.report import Report, Watcher

__all__ = ["Encoder", "Item", "Library", "Report", "Vectors", "Watcher", "index_sources", "load_encoder", "shipped"]

_HOMES = {
    "Encoder": "indexer.encoders",
    "Item": "indexer.items",
    "Library": "indexer.library",
    "Report": "indexer.report",
    "Vectors": "indexer.items",
    "Watcher": "indexer.report",
    "index_sources": "indexer.pipeline",
    "load_encoder": "indexer.encoders",
}


def __getattr__(name: str) -> object:
    """A name's module is imported when the name is: a query does without most of them, and a command line is refused
    before numpy starts."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def shipped(*parts: str) -> Path:
    """The path of something in the data folder that travels with Descry, as `shipped("models", "embedded")`.

    A wheel carries the folder inside this package, because a top-level package named `data` would collide with other
    people's; in a checkout it stands beside the package.
    """
    package = Path(__file__).parent
    installed = package / "data"
    return (installed if installed.is_dir() else package.parent / "data").joinpath(*parts)

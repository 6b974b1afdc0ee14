"""Libraries on a server, by the scheme of their addresses; a library in a folder imports nothing of them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from indexer.errors import LibraryError

# The module whose `STORE` opens the libraries of a scheme.
BACKENDS = {"postgresql": "indexer.postgres.library", "postgres": "indexer.postgres.library"}


def is_address(place: Path | str) -> bool:
    """Whether a library's place is the address of a server, and not a folder."""
    scheme, separator, _ = str(place).partition("://")
    return bool(separator) and scheme in BACKENDS


def backend_of(address: Path | str) -> Any:
    """The class of the libraries at such an address. Raises `LibraryError` where a package is missing."""
    try:
        return import_module(BACKENDS[str(address).partition(":")[0]]).STORE
    except ImportError as error:
        if (error.name or "").startswith("indexer"):
            raise
        raise LibraryError(
            f"A library on a server needs what is not installed ({error}): pip install 'descry[postgres]'."
        ) from error

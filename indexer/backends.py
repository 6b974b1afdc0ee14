"""Libraries on a server, by the scheme of their addresses; a library in a folder imports nothing of them."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from indexer.errors import LibraryError

# The package whose module `library` has the `STORE` that opens the libraries of a scheme; its extra is called the same.
BACKENDS = {"postgresql": "postgres", "postgres": "postgres", "milvus": "milvus"}


def is_address(place: Path | str) -> bool:
    """Whether a library's place is an address, of whatever scheme, and not a folder."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(place)))


def backend_of(address: Path | str) -> Any:
    """The class of the libraries at an address. Raises `LibraryError` for other schemes and a missing package."""
    scheme = str(address).partition("://")[0].lower()
    if scheme not in BACKENDS:
        raise LibraryError(
            f"No library lies at {scheme}://...: name a folder, or postgresql://... (milvus://...) for one on a server."
        )
    try:
        return import_module(f"indexer.{BACKENDS[scheme]}.library").STORE
    except ImportError as error:
        if (error.name or "").startswith("indexer"):
            raise
        raise LibraryError(
            f"A library on a server needs what is not installed ({error}): pip install 'descry[{BACKENDS[scheme]}]'."
        ) from error

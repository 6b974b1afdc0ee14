"""What a table of peers holds; imported in their own environments too, and so of the standard library alone."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A peer: the module that runs or adapts it, and the packages of its environment (none: Descry's own)."""

    module: str
    packages: tuple[str, ...]
    about: str

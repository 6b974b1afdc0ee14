"""What a shell offers for options whose values are not a fixed list."""

from __future__ import annotations

import click


def models(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The short names of encoders that begin so."""
    from indexer.encoders.models import MODELS

    return [card.alias for card in MODELS if card.alias.startswith(incomplete)]

"""`descry models`: the encoders that can be chosen."""

from __future__ import annotations

import click

from search.options import format_option
from search.output import ROW_FORMATS, Rows
from search.terminal import write


@click.command()
@format_option(ROW_FORMATS)
def models(form: str) -> None:
    """Show the encoders that can be chosen: quality, size, speed, and whether they are here already.

    \b
    descry models
    descry index ~/Photos --model vit-b-32
    """
    write(ROW_FORMATS[form](cards()))


def cards() -> Rows:
    """The encoders that can be chosen by a short name."""
    from indexer.encoders.models import MODELS, is_here

    return [
        {
            "name": card.alias,
            "here": "yes" if is_here(card) else "no",
            "dimensions": card.dimension,
            "MB": card.megabytes,
            "ImageNet %": card.quality,
            "photos/s on a core": card.speed,
            "note": card.note,
        }
        for card in MODELS
    ]

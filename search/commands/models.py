"""`descry models`: the encoders that can be chosen."""

from __future__ import annotations

import click

from search.options import format_option
from search.output import ROW_FORMATS
from search.terminal import write


@click.command()
@format_option(ROW_FORMATS)
def models(form: str) -> None:
    """Show the encoders that can be chosen: quality, size, speed, and whether they are here already.

    \b
    descry models
    descry index ~/Photos --model vit-b-32
    """
    from search import reports

    write(ROW_FORMATS[form](reports.models()))

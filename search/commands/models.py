"""`descry models`: the encoders that can be chosen."""

from __future__ import annotations

import click


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def models(form: str) -> None:
    """Show the encoders that can be chosen: quality, size, speed, and whether they are here already.

    \b
    descry models
    descry index ~/Photos --model vit-b-32
    """
    from search import reports

    click.echo(reports.FORMATS[form](reports.models()))

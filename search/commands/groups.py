"""`descry groups`: what kinds of photos the library holds."""

from __future__ import annotations

from pathlib import Path

import click

from search.reports import FORMATS


@click.command()
@click.option(
    "-n", "number", type=click.IntRange(min=1), help="So many groups; by default the root of half the photos."
)
@click.option("--members", is_flag=True, help="List all photos of each group, not only the most typical one.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="table", show_default=True)
@click.pass_obj
def groups(library: Path, number: int | None, members: bool, form: str) -> None:
    """Put the library's photos into groups of what is alike, each with a name.

    \b
    descry groups
    descry groups -n 12 --members --format json
    """
    from indexer.library import Library
    from search.organise import groups as grouping
    from search.organise.vocabulary import vocabulary

    with Library.open(library) as opened:
        vectors = grouping.all_vectors(opened)
        found = grouping.groups(vectors, vocabulary(opened, opened.encoder()), number)
        click.echo(FORMATS[form](grouping.rows(opened, found, members=members)))

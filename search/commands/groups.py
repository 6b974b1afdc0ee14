"""`descry groups`: what kinds of photos the library holds."""

from __future__ import annotations

from pathlib import Path

import click

from search.options import COUNT, format_option
from search.output import ROW_FORMATS
from search.terminal import write


@click.command()
@click.option("-n", "number", type=COUNT, help="So many groups; by default the root of half the photos.")
@click.option("--members", is_flag=True, help="List all photos of each group, not only the most typical one.")
@format_option(ROW_FORMATS)
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
        write(ROW_FORMATS[form](grouping.rows(opened, found, members=members)))

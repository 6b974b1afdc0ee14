"""`descry describe`: sentences that fit a photo."""

from __future__ import annotations

from pathlib import Path

import click

from search.answering import answer
from search.options import SearchOptions, search_options
from search.query import like_terms


@click.command()
@click.argument("photo", required=False, metavar="PHOTO|ID")
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE", help="Choose among the lines of FILE.")
@search_options(k=5, wanted="text")
@click.pass_obj
def describe(library: Path, photo: str | None, labels: Path | None, options: SearchOptions) -> None:
    """Find the sentences that fit a photo, among the indexed texts or the lines of a file.

    \b
    descry describe dog.jpg
    descry describe id:12
    descry describe dog.jpg --labels breeds.txt
    """
    from search.labels import ranker

    answer(
        library,
        [] if photo is None else [photo],
        options,
        lambda photos: options.query(like_terms(photos), " ".join(photos)),
        find=None if labels is None else ranker(labels),
    )

"""`descry similar`: photos like photos."""

from __future__ import annotations

from pathlib import Path

import click

from search.answering import answer
from search.options import SearchOptions, search_options
from search.query import like_terms


@click.command()
@click.argument("things", nargs=-1, metavar="PHOTO|ID...")
@click.option("--best-of-each", is_flag=True, help="What resembles any of several, instead of all of them together.")
@search_options(k=10, wanted="image")
@click.pass_obj
def similar(library: Path, things: tuple[str, ...], best_of_each: bool, options: SearchOptions) -> None:
    """Find photos like a photo or like several: files, which need not be in the library, or ids of earlier hits.

    \b
    descry similar dog.jpg
    descry similar id:12 id:31
    """
    answer(
        library,
        things,
        options,
        lambda things: options.query(like_terms(things), " ".join(things), best_of_each=best_of_each),
    )

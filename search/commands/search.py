"""`descry search`: photos from sentences and photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from search.asking import Options, answer, search_options

if TYPE_CHECKING:
    from search.query import Query


@click.command()
@click.argument("words", nargs=-1, metavar="QUERY...")
@search_options(k=10, wanted="image")
@click.pass_obj
def search(library: Path, words: tuple[str, ...], options: Options) -> None:
    """Find what fits a sentence, a photo, or several of both.

    Words in a row are one sentence; a file is what it shows; + and - add and subtract; 2: weighs.

    \b
    descry search "two dogs playing in snow"
    descry search beach + ./friend.jpg - 0.5:people
    """
    from search.query import parse

    def ask(question: str | tuple[str, ...]) -> Query:
        return parse(question, **options.asked)

    answer(library, words, options, ask)

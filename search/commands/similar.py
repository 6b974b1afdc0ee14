"""`descry similar`: photos like a photo."""

from __future__ import annotations

from pathlib import Path

import click

from search.asking import Options, answer, like_a_photo, search_options


@click.command()
@click.argument("photo", required=False)
@search_options(k=10, wanted="image")
@click.pass_obj
def similar(library: Path, photo: str | None, options: Options) -> None:
    """Find photos like a photo, which need not be in the library.

    \b
    descry similar dog.jpg
    """
    answer(library, photo, options, like_a_photo(options))

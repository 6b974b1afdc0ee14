"""`descry export`: vectors and what they belong to, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from search.options import filter_options
from search.terminal import write

if TYPE_CHECKING:
    from search.filters import Filter


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--modality", default="", metavar="KIND", help="image or text; both if not said.")
@filter_options
@click.pass_obj
def export(library: Path, file: Path, modality: str, filters: tuple[Filter, ...]) -> None:
    """Write the library's vectors, paths, texts and facts to FILE, a .npz or .parquet.

    \b
    descry export vectors.npz
    descry export photos.parquet --modality image --in ~/Photos/2023
    """
    from indexer.library import Library
    from indexer.transfer import export as write_vectors
    from search.filters import FUNCTIONS, to_sql

    with Library.open(library) as opened:
        opened.catalog.register_functions(FUNCTIONS)
        items = write_vectors(opened, file, modality=modality, condition=to_sql(filters))
    write(f"{items} vectors written to {file}\n")

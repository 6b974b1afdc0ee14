"""`descry optimize`: the kind of index that serves a library best."""

from __future__ import annotations

from pathlib import Path

import click

from search.options import Finite
from search.terminal import write


@click.command()
@click.option(
    "--recall",
    default=0.98,
    show_default=True,
    type=Finite(0, 1, min_open=True),
    help="The share of the ten nearest that a search must find, on average.",
)
@click.pass_obj
def optimize(library: Path, recall: float) -> None:
    """Make searching a large library faster: choose the kind of its indexes by measuring.

    Small libraries are searched exactly, which is best for them. Large ones may miss a little for much time:
    what a search misses, and what it saves, is measured with the library's own vectors. Searching goes on meanwhile.

    \b
    descry optimize --recall 0.99
    """
    from indexer.library import Library
    from search.optimizing import explained
    from search.optimizing import optimize as optimize_all

    with Library.open(library, readonly=False) as opened:
        for optimized in optimize_all(opened, recall=recall):
            write(explained(optimized) + "\n")

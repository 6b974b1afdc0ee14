"""`descry map`: the whole library on one page."""

from __future__ import annotations

from pathlib import Path

import click

from search.options import COUNT
from search.terminal import say


@click.command()
@click.argument("page", type=click.Path(path_type=Path), metavar="FILE.html")
@click.option("-n", "number", type=COUNT, help="Groups to name, as of `descry groups`.")
@click.pass_obj
def map(library: Path, page: Path, number: int | None) -> None:
    """Draw the library as a map: one page, without a network, on which alike photos lie side by side.

    Zoom with the wheel, drag, point at a photo to see it larger, click to open it. Of more than 10,000 photos a
    sample is shown. Needs scikit-learn: pip install 'descry[map]'.

    \b
    descry map photos.html
    """
    from indexer.library import Library
    from search.organise.map import draw_map
    from search.progress import watcher

    with Library.open(library) as opened:
        said = draw_map(opened, page.expanduser(), opened.encoder(), number=number, watcher=watcher())
    say(said)

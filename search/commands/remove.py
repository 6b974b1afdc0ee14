"""`descry remove`: a folder or file out of the library."""

from __future__ import annotations

from pathlib import Path

import click

from search.terminal import say, write


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.pass_obj
def remove(library: Path, path: Path) -> None:
    """Take a folder or a file out of the library; nothing on disk is touched.

    \b
    descry remove ~/Photos/old
    """
    from indexer.library import Library

    with Library.open(library, readonly=False) as opened:
        removal = opened.remove(path)
    write(f"{removal.items} items removed from the library\n")
    if removal.still_inside:
        say(f"note: the folder {removal.still_inside} stays indexed; its next run adds {path} again")

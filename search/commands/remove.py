"""`descry remove`: a folder or file out of the library."""

from __future__ import annotations

from pathlib import Path

import click


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
    click.echo(f"{removal.items} items removed from the library")
    if removal.still_inside:
        click.echo(f"note: the folder {removal.still_inside} stays indexed; its next run adds {path} again", err=True)

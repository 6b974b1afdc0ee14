"""`descry duplicates`: photos that are one picture several times."""

from __future__ import annotations

from pathlib import Path

import click

from search.reports import FORMATS

KINDS = ("exact", "near-exact", "burst")


@click.command()
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only these; all of them by default.")
@click.option("--format", "form", type=click.Choice([*FORMATS, "paths"]), default="table", show_default=True)
@click.pass_obj
def duplicates(library: Path, kinds: tuple[str, ...], form: str) -> None:
    """Show photos that are there several times: equal files, altered copies, bursts.

    Each group begins with its best photo: the most pixels, then the most bytes. Nothing is ever deleted;
    `--format paths` prints all but the best of each group, those of bursts only with --kind burst.

    \b
    descry duplicates
    descry duplicates --kind exact --format paths
    """
    from indexer.library import Library
    from search.organise import alike
    from search.organise.duplicates import duplicates as found
    from search.progress import watcher

    if form == "paths":
        kinds = kinds or (alike.EXACT, alike.NEAR_EXACT)
    with Library.open(library) as opened:
        groups = found(opened.catalog, kinds=kinds or KINDS, watcher=watcher())
    if form == "paths":
        click.echo("".join(f"{path}\n" for path in alike.spare_paths(groups)), nl=False)
    else:
        click.echo(FORMATS[form](alike.rows(groups)))
    click.echo(alike.summary(groups), err=True)

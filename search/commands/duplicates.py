"""`descry duplicates`: photos that are one picture several times."""

from __future__ import annotations

from pathlib import Path

import click

from search.options import format_option
from search.output import ROW_FORMATS
from search.terminal import say, write

KINDS = ("exact", "near-exact", "burst")


@click.command()
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only these; all of them by default.")
@format_option([*ROW_FORMATS, "paths", "paths0"])
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

    end = {"paths": "\n", "paths0": "\0"}.get(form)
    if end is not None:
        kinds = kinds or (alike.EXACT, alike.NEAR_EXACT)
    with Library.open(library) as opened:
        groups = found(opened.catalog, kinds=kinds or KINDS, watcher=watcher())
    if end is not None:
        write("".join(f"{path}{end}" for path in alike.spare_paths(groups)))
    else:
        write(ROW_FORMATS[form](alike.rows(groups)))
    say(alike.summary(groups))

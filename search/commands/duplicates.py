"""`descry duplicates`: photos that are one picture several times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from search.options import filter_options, format_option
from search.output import ROW_FORMATS
from search.terminal import say, write

if TYPE_CHECKING:
    from search.filters import Filter

KINDS = ("exact", "near-exact", "burst")

# Formats that print paths alone, and what stands behind each.
PATHS = {"paths": "\n", "paths0": "\0"}


@click.command()
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only these; all of them by default.")
@format_option([*ROW_FORMATS, *PATHS])
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a page that shows the groups, photos side by side, the best marked.",
)
@filter_options
@click.pass_obj
def duplicates(
    library: Path, kinds: tuple[str, ...], form: str, page: Path | None, filters: tuple[Filter, ...]
) -> None:
    """Show photos that are there several times: equal files, altered copies, bursts.

    Each group begins with its best photo: the most pixels, then the most bytes. Nothing is ever deleted;
    `--format paths` prints all but the best of each group, those of bursts only with --kind burst.

    \b
    descry duplicates --html duplicates.html
    descry duplicates --kind exact --in ~/Photos/2023 --format paths
    """
    from indexer.library import Library
    from search.filters import matching_ids
    from search.organise import duplicates as report
    from search.present.sheet import check_page, write_groups
    from search.progress import watcher

    if form in PATHS:
        kinds = kinds or (report.EXACT, report.NEAR_EXACT)
    if page is not None:
        check_page(page.expanduser())
    with Library.open(library) as opened:
        among = matching_ids(opened.catalog, report.MODALITY, filters) if filters else None
        groups = report.duplicates(opened.catalog, kinds=kinds or KINDS, among=among, watcher=watcher())
    if form in PATHS:
        write("".join(f"{item.path}{PATHS[form]}" for item in report.spare(groups)))
    else:
        write(ROW_FORMATS[form](report.rows(groups)))
    say(report.summary(groups))
    if page is not None:
        say(write_groups(page.expanduser(), groups))

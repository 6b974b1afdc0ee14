"""`descry list`: what the library holds, without a question."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from search.asking import filter_options
from search.output import FORMATS

if TYPE_CHECKING:
    from search.filters import Filter


@click.command("list")
@click.option("-k", default=20, show_default=True, type=click.IntRange(min=1), help="So many at most.")
@click.option("--modality", "wanted", default="image", show_default=True, metavar="KIND", help="image or text.")
@click.option(
    "--sort",
    default="-date",
    show_default=True,
    metavar="ORDER",
    help="date, name, path or size; with a dash before it the greatest first.",
)
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="table", show_default=True)
@filter_options
@click.pass_obj
def list_(library: Path, k: int, wanted: str, sort: str, form: str, filters: tuple[Filter, ...]) -> None:
    """List photos without a question, the newest first, all of them or those that filters let through.

    \b
    descry list --camera "pixel 6" --on 2023-05
    descry list --sort name -k 100 --format paths
    """
    from indexer.library import Library
    from search.engine import Engine

    with Library.open(library) as opened:
        engine = Engine(opened)
        hits = engine.browse(wanted, filters=filters, sort=sort, k=k)
        total = len(engine.listed(wanted, filters=filters, sort=sort))
    click.echo(FORMATS[form](hits), nl=False)
    if total > len(hits):
        click.echo(f"note: the first {len(hits)} of {total}; -k {total} lists all", err=True)

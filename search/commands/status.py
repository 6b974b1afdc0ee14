"""`descry status`: what the library holds and what failed."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--failed", is_flag=True, help="List the files that could not be indexed, and why.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def status(library: Path, failed: bool, form: str) -> None:
    """Show what the library holds, where it comes from, and what failed.

    \b
    descry status --failed
    """
    from indexer.library import Library
    from search import reports

    with Library.open(library) as opened:
        report = reports.failures(opened) if failed else reports.status(opened)
    click.echo(reports.FORMATS[form](report))

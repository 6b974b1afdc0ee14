"""`descry status`: what the library holds and what failed."""

from __future__ import annotations

from pathlib import Path

import click

from search.options import format_option
from search.present.formats import ROW_FORMATS
from search.terminal import write


@click.command()
@click.option("--failed", is_flag=True, help="List the files that could not be indexed, and why.")
@click.option("--notes", is_flag=True, help="List the files with which something is amiss, though they were indexed.")
@format_option(ROW_FORMATS)
@click.pass_obj
def status(library: Path, failed: bool, notes: bool, form: str) -> None:
    """Show what the library holds, where it comes from, and what failed.

    \b
    descry status --failed
    """
    from indexer.library import Library
    from search import status as report

    with Library.open(library) as opened:
        files = opened.catalog.files
        named = [*(files.failures() if failed else ()), *(files.notes() if notes else ())]
        rows = report.named(named) if failed or notes else report.status(opened)
    write(ROW_FORMATS[form](rows))

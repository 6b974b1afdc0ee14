"""`descry doctor`: what is there, what is not, and what to do about it."""

from __future__ import annotations

import click

from search.options import format_option
from search.present.formats import ROW_FORMATS
from search.terminal import write


@click.command()
@format_option(ROW_FORMATS)
@click.pass_context
def doctor(ctx: click.Context, form: str) -> None:
    """Look at what Descry needs: GPU, photo formats, encoder, library, disk; say what to do about the rest.

    Each line is OK, a note (something is missing that one can do without) or a problem. Ends with 0 if Descry
    can be used, else with 1.

    \b
    descry doctor
    """
    from search.doctor import as_lines, examine, is_usable

    rows = examine(ctx.obj)
    write(as_lines(rows) + "\n" if form == "table" else ROW_FORMATS[form](rows))
    ctx.exit(0 if is_usable(rows) else 1)

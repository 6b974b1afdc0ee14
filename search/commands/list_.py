"""`descry list`: what the library holds, without a question."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.answering import finish, print_hits
from search.options import (
    count_option,
    filter_options,
    format_option,
    long_option,
    modality_option,
    sink_options,
    sort_option,
)
from search.output import FORMATS
from search.terminal import say

if TYPE_CHECKING:
    from search.filters import Filter


@click.command("list")
@count_option(20, "So many at most.")
@modality_option("image")
@sort_option("-date", "In this order:")
@format_option(FORMATS)
@long_option
@sink_options
@filter_options
@click.pass_obj
def list_(
    library: Path,
    k: int,
    wanted: str,
    sort: str,
    form: str,
    long: bool,
    sinks: Mapping[str, Any],
    filters: tuple[Filter, ...],
) -> None:
    """List photos without a question, the newest first, all of them or those that filters let through.

    \b
    descry list --camera "pixel 6" --on 2023-05
    descry list --sort name -k 100 --format paths
    """
    from indexer.library import Library
    from search.empty import nothing_passes
    from search.engine import Engine
    from search.present.sinks import Chosen, open_sinks

    question = " ".join(f"{filter.field} {filter.value}".strip() for filter in filters) or "everything"
    with open_sinks(Chosen(sinks)) as opened_sinks, Library.open(library) as held:
        engine = Engine(held)
        hits = engine.browse(wanted, filters=filters, sort=sort, k=k)
        total = len(engine.listed(wanted, filters=filters, sort=sort))
        print_hits(hits, form, long=long)
        if total > len(hits):
            say(f"note: the first {len(hits)} of {total}; -k {total} lists all")
        if not total:
            say(f"note: {nothing_passes(engine, wanted, filters) or f'the library {held.path} holds no {wanted}'}")
        opened_sinks.take(question, hits)
        finish(opened_sinks)

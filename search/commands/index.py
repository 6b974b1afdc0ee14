"""`descry index` and `descry watch`: folders and files into the library, once or whenever they change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.errors import LibraryNotFound, PathError
from indexer.stores import is_address
from search.options import Finite, PlacePath, device_option, limit_options, model_option
from search.terminal import INTERRUPTED, leave, say, write

if TYPE_CHECKING:
    from indexer import Encoder, Library

# How nice `descry watch` is to whatever else the machine does.
NICE = 10


@click.command()
@click.argument("paths", nargs=-1, type=PlacePath(path_type=Path))
@model_option("The encoder of a new library: see `descry models`.")
@device_option
@limit_options
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Leave out what matches, by gitignore's rules; remembered for PATHS ('' forgets). Also: a .descryignore.",
)
@click.option(
    "--follow-links/--no-follow-links",
    default=None,
    help="Follow links to folders, or not; remembered for PATHS.",
)
@click.option(
    "--thumbnails/--no-thumbnails",
    default=True,
    show_default=True,
    help="Keep photos small as well, for `descry serve`; without, it makes them when they are looked at.",
)
@click.pass_context
def index(
    ctx: click.Context,
    paths: tuple[Path, ...],
    model: str | None,
    device: str,
    exclude: tuple[str, ...],
    follow_links: bool | None,
    thumbnails: bool,
) -> None:
    """Add folders and files, or bring them up to date.

    Only what is new, changed or gone since the last run costs time. Without PATHS, all that was indexed
    before is looked at again.

    \b
    descry index ~/Photos ~/notes
    """
    from indexer.pipeline import index_sources
    from search.progress import summary, watcher

    library, encoder = _for_indexing(ctx.obj, paths, model, device)
    with library:
        roots = paths or tuple(library.catalog.files.roots())
        report = index_sources(
            library,
            roots,
            encoder,
            exclude=[rule for rule in exclude if rule] if exclude else None,
            follow_links=follow_links,
            thumbnails=thumbnails and not is_address(ctx.obj),
            watcher=watcher(),
        )
        write(summary(report) + "\n")
        if report.interrupted:
            say("Interrupted. What is done is kept: run the same command again to go on.")
            leave(INTERRUPTED)
        _renew(library)
    ctx.exit(1 if report.failures else 0)


@click.command()
@click.argument("paths", nargs=-1, type=PlacePath(path_type=Path))
@model_option("The encoder of a new library: see `descry models`.")
@device_option
@limit_options
@click.option(
    "--scan-every",
    default=10.0,
    show_default=True,
    type=Finite(0, 1e6, min_open=True),
    metavar="MINUTES",
    help="Look at everything so often: finds what the system does not tell, as on network drives.",
)
@click.option("--thumbnails/--no-thumbnails", default=True, show_default=True, help="As for `descry index`.")
@click.pass_context
def watch(
    ctx: click.Context,
    paths: tuple[Path, ...],
    model: str | None,
    device: str,
    scan_every: float,
    thumbnails: bool,
) -> None:
    """Index folders and files, and go on with whatever comes, changes or goes, at low priority.

    Without PATHS, all that was indexed before is followed. What `descry index` leaves out is left out here. Ctrl-C
    ends it.

    \b
    descry watch ~/Photos
    """
    from threading import Event

    from indexer.watching import follow
    from search.progress import summary, watcher

    with suppress(OSError, AttributeError):
        os.nice(NICE)
    library, encoder = _for_indexing(ctx.obj, paths, model, device)
    with library:
        places = paths or tuple(library.catalog.files.roots())
        for report in follow(
            ctx.obj, places, encoder, stop=Event(), scan_every=60 * scan_every, thumbnails=thumbnails, watcher=watcher()
        ):
            if report.has_changed or report.interrupted:
                say(summary(report))
            if report.interrupted:
                leave(INTERRUPTED)
            _renew(library)


def _renew(library: Library) -> None:
    """Indexes that were chosen for half as many are made anew; all is indexed by then, and others may go on."""
    from search.commands.optimize import explained, renew

    for modality in library.indexes.outgrown():
        say(f"The index of the {modality} vectors was made for half as many: making a new one.")
    for optimized in renew(library):
        say(*explained(optimized).splitlines())


def _for_indexing(path: Path, paths: Sequence[Path], model: str | None, device: str) -> tuple[Library, Encoder]:
    """The library, made if need be, and the encoder: the one asked for, else the library's, else the shipped one."""
    from indexer import Library, load_encoder
    from indexer.encoders import DEFAULT

    try:
        with Library.open(path) as library:
            model = model or library.encoder_name
    except LibraryNotFound:
        if not paths:
            raise
        for missing in (place for place in paths if not place.expanduser().exists()):
            raise PathError(f"There is no folder or file {missing}.") from None
    encoder = load_encoder(model or DEFAULT, device=device)
    return Library.create(path, encoder), encoder

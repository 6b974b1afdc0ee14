"""The command line: parse, one call, format. With `search.asking`, the only place that prints and chooses exit codes.

Exit codes: 0 done; 1 done, but some files failed; 2 the request was wrong; 130 interrupted.
Imports wait until a command needs them, so that `--help` and a search by sentence start at once.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from indexer.errors import DescryError, LibraryNotFound, PathError
from search import asking
from search.asking import Options

if TYPE_CHECKING:
    from indexer import Encoder, Library
    from search.query import Query

INTERRUPTED = 130


class Refused(click.ClickException):
    """What Descry refuses, as one line on stderr."""

    exit_code = 2


class Commands(click.Group):
    """Turns every refusal of the packages below into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except DescryError as error:
            raise Refused(str(error)) from error
        except sqlite3.Error as error:
            raise Refused(f"The library {ctx.obj} cannot be read ({error}).") from error
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            _leave(INTERRUPTED)


def _leave(code: int) -> NoReturn:
    """Ends the process at once: a loader thread that still decodes a photo would be waited for otherwise."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _default_library() -> Path:
    from platformdirs import user_data_path

    return user_data_path("descry") / "library"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="descry")
@click.option(
    "--library",
    type=click.Path(path_type=Path),
    envvar="DESCRY_LIBRARY",
    metavar="DIR",
    help="Where the library is: by default $DESCRY_LIBRARY, else in the user data directory.",
)
@click.pass_context
def main(ctx: click.Context, library: Path | None) -> None:
    """Find photos from sentences, sentences from photos, and photos like a photo.

    \b
    descry index ~/Photos
    descry search "a dog on the beach"
    descry similar dog.jpg
    """
    ctx.obj = library or _default_library()


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", help="The encoder of a new library: see `descry models`.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="cpu, cuda, mps ...")
@click.option("--max-megapixels", default=250.0, show_default=True, help="Skip photos that are larger.")
@click.pass_context
def index(ctx: click.Context, paths: tuple[Path, ...], model: str | None, device: str, max_megapixels: float) -> None:
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
        report = index_sources(library, roots, encoder, max_pixels=int(max_megapixels * 1e6), watcher=watcher())
    click.echo(summary(report))
    if report.interrupted:
        click.echo("Interrupted. What is done is kept: run the same command again to go on.", err=True)
        _leave(INTERRUPTED)
    ctx.exit(1 if report.failures else 0)


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


@main.command()
@click.argument("words", nargs=-1, metavar="QUERY...")
@asking.options(k=10, wanted="image")
@click.pass_obj
def search(library: Path, words: tuple[str, ...], options: Options) -> None:
    """Find what fits a sentence, a photo, or several of both.

    Words in a row are one sentence; a file is what it shows; + and - add and subtract; 2: weighs.

    \b
    descry search "two dogs playing in snow"
    descry search beach + ./friend.jpg - 0.5:people
    """
    from search.query import parse

    def ask(question: str | tuple[str, ...]) -> Query:
        return parse(question, **options.asked)

    asking.answer(library, words, options, ask)


@main.command()
@click.argument("photo", required=False)
@asking.options(k=10, wanted="image")
@click.pass_obj
def similar(library: Path, photo: str | None, options: Options) -> None:
    """Find photos like a photo, which need not be in the library.

    \b
    descry similar dog.jpg
    """
    asking.answer(library, photo, options, _like(options))


@main.command()
@click.argument("photo", required=False)
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE", help="Choose among the lines of FILE.")
@asking.options(k=5, wanted="text")
@click.pass_obj
def describe(library: Path, photo: str | None, labels: Path | None, options: Options) -> None:
    """Find the sentences that fit a photo, among the indexed texts or the lines of a file.

    \b
    descry describe dog.jpg
    descry describe dog.jpg --labels breeds.txt
    """
    from search.labels import ranker

    asking.answer(library, photo, options, _like(options), find=None if labels is None else ranker(labels))


def _like(options: Options) -> asking.Ask:
    from search.query import like

    def ask(photo: str | tuple[str, ...]) -> Query:
        return like(Path(str(photo)), **options.asked)

    return ask


@main.command()
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


@main.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def models(form: str) -> None:
    """Show the encoders that can be chosen: quality, size, speed, and whether they are here already.

    \b
    descry index ~/Photos --model vit-b-32
    """
    from search import reports

    click.echo(reports.FORMATS[form](reports.models()))


@main.command()
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

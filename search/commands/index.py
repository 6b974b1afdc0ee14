"""`descry index` and `descry watch`: folders and files into the library, once or whenever they change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from indexer.errors import EncoderUnavailable, LibraryNotFound, PathError
from indexer.storage.files import as_stored
from search.options import Finite, PlacePath, device_option, limit_options, model_option
from search.terminal import INTERRUPTED, leave, leave_interrupted, say, write

if TYPE_CHECKING:
    from indexer import Encoder, Library
    from indexer.ocr import WordsReport

# How nice `descry watch` is to whatever else the machine does.
NICE = 10


@click.command()
@click.argument("paths", nargs=-1)
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
    "--ocr/--no-ocr",
    default=None,
    help="Read the words in photos too, or not; remembered for PATHS. See `descry ocr`.",
)
@click.option(
    "--speech/--no-speech",
    default=None,
    help="Hear what is said in sound files and films, or forget it; remembered for PATHS.",
)
@click.option(
    "--speech-model",
    metavar="NAME|FOLDER",
    help="Hear it by this Whisper model: tiny, base (the default), small ..., or the folder of one (CTranslate2).",
)
@click.option(
    "--captions/--no-captions",
    default=None,
    help="Have a sentence written for each photo, or forget these; remembered for PATHS. See `descry caption`.",
)
@click.option(
    "--thumbnails/--no-thumbnails",
    default=True,
    show_default=True,
    help="Keep photos small as well, for `descry serve`; without, it makes them when they are looked at.",
)
@click.option("--on", type=click.Choice(["ray"]), help="Embed on a Ray cluster, into files for `descry import`.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where they go; all machines must see it.")
@click.option("--paths-from", type=click.File("rb"), metavar="FILE", help="With --on: more PATHS, one a line.")
@click.pass_context
def index(
    ctx: click.Context,
    paths: tuple[str, ...],
    model: str | None,
    device: str,
    exclude: tuple[str, ...],
    follow_links: bool | None,
    ocr: bool | None,
    speech: bool | None,
    speech_model: str | None,
    captions: bool | None,
    thumbnails: bool,
    on: str | None,
    out: Path | None,
    paths_from: BinaryIO | None,
) -> None:
    """Add folders and files, or bring them up to date.

    Only what is new, changed or gone since the last run costs time. Without PATHS, all that was indexed
    before is looked at again.

    \b
    descry index ~/Photos ~/notes
    descry index --on ray s3://photos/2023 /mnt/laion --out /mnt/vectors
    """
    from indexer.pipeline import index_sources
    from search.progress import summary, watcher

    rules = [rule for rule in exclude if rule]
    if on:
        if ocr or speech or speech_model or captions:
            raise click.UsageError("--ocr, --speech and --captions read on one machine: not with --on.")
        sources = [*paths, *(map(os.fsdecode, filter(None, paths_from.read().splitlines())) if paths_from else ())]
        ctx.exit(_embed_on_cluster(sources, out, model, device, rules, follow_links=bool(follow_links)))
    if out or paths_from:
        raise click.UsageError("--out and --paths-from belong to --on ray.")
    places: tuple[Path, ...] = tuple(PlacePath(path_type=Path).convert(path, None, ctx) for path in paths)
    if ocr:
        from indexer.ocr import load_reader

        load_reader()  # what is missing is said before any work
    readers = _reader("speech", speech, speech_model) | _reader("caption", captions)
    library, encoder = _for_indexing(ctx.obj, places, model, device)
    with library:
        roots = places or tuple(library.catalog.files.roots())
        report = index_sources(
            library,
            roots,
            encoder,
            exclude=rules if exclude else None,
            follow_links=follow_links,
            readers=readers,
            thumbnails=thumbnails,
            watcher=watcher(),
        )
        write(summary(report) + "\n")
        if report.interrupted:
            leave_interrupted()
        _renew(library)
        failed = bool(report.failures) | _read_words(library, roots, ocr)
    ctx.exit(1 if failed else 0)


def _embed_on_cluster(
    sources: Sequence[str],
    out: Path | None,
    model: str | None,
    device: str,
    exclude: Sequence[str],
    *,
    follow_links: bool,
) -> int:
    """Embeds on a cluster, and says how it went; the exit code."""
    from indexer.cluster import embed_on_ray
    from indexer.encoders import DEFAULT, load_encoder
    from search.progress import summary, watcher

    if out is None or not sources:
        raise click.UsageError("--on ray needs PATHS and --out DIR.")
    encoder = load_encoder(model or DEFAULT, device="cpu")  # the workers load it again, each on its device
    report = embed_on_ray(
        sources, out, encoder, device=device, exclude=exclude, follow_links=follow_links, watcher=watcher()
    )
    write(summary(report) + "\n")
    if report.interrupted:
        say("Interrupted. What is done is kept: run the same command again to go on.")
        leave(INTERRUPTED)
    if report.failures or report.old_failures:
        say(f"The files that could not be read stand in {out / 'failed'}, each with its reason.")
    return 1 if report.failures or report.old_failures else 0


def _reader(modality: str, wanted: bool | None, model: str | None = None) -> dict[str, str]:
    """By which model a modality is to be read, "" for not any more; nothing where nobody said.

    Raises `EncoderUnavailable` for one that cannot be had: what is missing is said before any work.
    """
    if wanted is None and model is None:
        return {}
    if wanted is False:
        return {modality: ""}
    from indexer.modalities import caption, speech

    load = {"speech": speech.load_transcriber, "caption": caption.load_captioner}[modality]
    return {modality: load(model or "").name}


def _read_words(library: Library, roots: Sequence[Path], ocr: bool | None) -> bool:
    """Reads the words in the photos of roots for which that is wished; whether some could not be read."""
    from indexer.ocr import read_wished, remember
    from search.progress import watcher

    if ocr is not None:
        remember(library, roots, ocr)
    try:
        report = read_wished(library, watcher=watcher())
    except EncoderUnavailable as error:  # it was there when it was asked for
        say(f"note: {error}")
        return False
    if report is not None:
        _tell(report)
    return report is not None and bool(report.failures)


def _tell(report: WordsReport) -> None:
    told = [f"{report.with_words} of {report.looked_at} photos hold words"] if report.looked_at else []
    told += [f"{report.copied} copied from photos of the same content"] if report.copied else []
    write(f"{', '.join(told)} in {report.seconds:.1f} s\n" if told else "no photo is left whose words were not read\n")
    if report.interrupted:
        leave_interrupted()


@click.command()
@click.argument("paths", nargs=-1, type=PlacePath(path_type=Path))
@click.pass_context
def ocr(ctx: click.Context, paths: tuple[Path, ...]) -> None:
    """Read the words in the photos of a library that is there; nothing is embedded again.

    Each photo is read once. Its words are looked up like names and captions, also by parts: "RE16" finds "RE16TGK".
    Needs pip install 'descry[ocr]'.

    \b
    descry ocr
    descry ocr ~/Photos/receipts
    """
    from indexer.library import Library
    from indexer.ocr import load_reader, read_words
    from search.progress import watcher

    with Library.open(ctx.obj, readonly=False) as library:
        reader = load_reader()
        for path in paths:
            if not library.catalog.files.knows(as_stored(path)):
                raise PathError(f"The library {library.path} holds nothing at {path}: `descry index` adds it.")
        report = read_words(library, paths, reader=reader, watcher=watcher())
        _tell(report)
    ctx.exit(1 if report.failures else 0)


@click.command()
@click.argument("paths", nargs=-1, type=PlacePath(path_type=Path))
@click.option(
    "--model",
    metavar="NAME|FOLDER",
    help="A BLIP model: a folder or its name on the hub; or CoCa: open_clip:ARCH/TAG.",
)
@limit_options
@click.pass_context
def caption(ctx: click.Context, paths: tuple[Path, ...], model: str | None) -> None:
    """Have a sentence written for each photo of a library, also for those to come; nothing is embedded again.

    `descry search` finds photos by its words, `--modality caption` the sentence by what it means. `descry index
    --no-captions` forgets them. BLIP needs pip install 'descry[blip]'.

    \b
    descry caption
    descry caption ~/Photos/2023 --model ~/models/blip-image-captioning-large
    """
    from indexer import Library, load_encoder
    from indexer.pipeline import index_sources
    from search.progress import summary, watcher

    with Library.open(ctx.obj, readonly=False) as library:
        for path in paths:
            if not library.catalog.files.knows(as_stored(path)):
                raise PathError(f"The library {library.path} holds nothing at {path}: `descry index` adds it.")
        readers, encoder = _reader("caption", True, model), load_encoder(library.encoder_name)
        roots = paths or tuple(library.catalog.files.roots())
        report = index_sources(library, roots, encoder, readers=readers, watcher=watcher())
        write(summary(report) + "\n")
        if report.interrupted:
            leave_interrupted()
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
            _read_words(library, (), None)


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

"""Looking after a library: `descry status`, `doctor`, `models`, `remove`, `export`, `import` and `reembed`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.library import Library
from search.options import device_option, filter_options, format_option, limit_options, model_option
from search.present.formats import ROW_FORMATS
from search.terminal import leave_interrupted, say, write

if TYPE_CHECKING:
    from search.filters import Filter


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
    from search import status as report

    with Library.open(library) as opened:
        files = opened.catalog.files
        named = [*(files.failures() if failed else ()), *(files.notes() if notes else ())]
        rows = report.named(named) if failed or notes else report.status(opened)
    write(ROW_FORMATS[form](rows))


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


@click.command()
@format_option(ROW_FORMATS)
def models(form: str) -> None:
    """Show the encoders that can be chosen: quality, size, speed, and whether they are here already.

    \b
    descry models
    descry index ~/Photos --model vit-b-32
    """
    from indexer.encoders.models import MODELS, is_here

    rows = [
        {
            "name": card.alias,
            "here": "yes" if is_here(card) else "no",
            "dimensions": card.dimension,
            "MB": card.megabytes,
            "ImageNet %": card.quality,
            "photos/s on a core": card.speed,
            "note": card.note,
        }
        for card in MODELS
    ]
    write(ROW_FORMATS[form](rows))


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.pass_obj
def remove(library: Path, path: Path) -> None:
    """Take a folder or a file out of the library; nothing on disk is touched.

    \b
    descry remove ~/Photos/old
    """

    with Library.open(library, readonly=False) as opened:
        removal = opened.remove(path)
    write(f"{removal.items} items removed from the library\n")
    if removal.still_inside:
        say(f"note: the folder {removal.still_inside} stays indexed; its next run adds {path} again")


@click.command()
@model_option("The new encoder, see `descry models`; by default the library's own.")
@device_option
@limit_options
@click.pass_obj
def reembed(library: Path, model: str | None, device: str) -> None:
    """Give a library another encoder, or its own one's newer weights; ids and tags stay.

    Searching goes on with the old vectors until all new ones are there. A run that was cut off goes on.

    \b
    descry reembed --model vit-b-32
    """
    from indexer import reembedding
    from indexer.encoders import load_encoder
    from search.progress import watcher

    with Library.open(library, readonly=False) as opened:
        encoder = load_encoder(model or opened.encoder_name, device=device)
        given_up = reembedding.unfinished(opened)
        if opened.has(encoder):
            reembedding.reembed(opened, encoder)
            write(f"The library has the vectors of {encoder.name} ({encoder.checksum}) already: nothing to do.\n")
            if given_up:
                write(f"The unfinished change to {given_up.encoder} is given up.\n")
            return
        report = reembedding.reembed(opened, encoder, watcher=watcher())
    if report.interrupted:
        leave_interrupted()
    write(f"{report.embedded} items embedded anew by {encoder.name} in {report.seconds:.1f} s\n")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--modality", default="", metavar="KIND", help="image, video, speech, caption or text; all if not said.")
@filter_options
@click.pass_obj
def export(library: Path, file: Path, modality: str, filters: tuple[Filter, ...]) -> None:
    """Write the library's vectors, paths, texts and facts to FILE, a .npz or .parquet.

    \b
    descry export vectors.npz
    descry export photos.parquet --modality image --in ~/Photos/2023
    """
    from indexer.transfer.exporting import export as write_vectors
    from search.filters import FUNCTIONS, to_sql

    with Library.open(library) as opened:
        opened.catalog.register_functions(FUNCTIONS)
        items = write_vectors(opened, file, modality=modality, condition=to_sql(filters))
    write(f"{items} vectors written to {file}\n")


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@model_option(
    "The encoder that made them, if they do not say, or say another than the shipped one: see `descry models`."
)
@click.option("--photos", type=click.Path(path_type=Path), metavar="FOLDER", help="Where relative paths begin.")
@device_option
@limit_options
@click.pass_obj
def import_(library: Path, source: Path, model: str | None, photos: Path | None, device: str) -> None:
    """Take in the vectors of SOURCE: a file that `descry export` wrote, or a folder as `descry index --on ray`
    or clip-retrieval writes it.

    One of clip-retrieval holds img_emb/img_emb_0.npy and metadata/metadata_0.parquet, with a column image_path.

    \b
    descry import vectors.npz
    descry import embeddings/ --model vit-b-32 --photos ~/Photos
    """
    from indexer.transfer.importing import encoder_of, import_into, open_embeddings
    from search.progress import imported, watcher

    embeddings = open_embeddings(source, photos=photos)
    encoder = encoder_of(embeddings, model, library=library, device=device)
    report = import_into(library, embeddings, encoder, watcher=watcher("vectors"))
    write(imported(report) + "\n")
    if report.interrupted:
        leave_interrupted()

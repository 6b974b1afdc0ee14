"""`descry import`: vectors that were made elsewhere into the library."""

from __future__ import annotations

from pathlib import Path

import click

from search.options import device_option, models
from search.terminal import INTERRUPTED, leave, say, write


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=models,
    help="The encoder that made them, if they do not say, or say another than the shipped one: see `descry models`.",
)
@click.option("--photos", type=click.Path(path_type=Path), metavar="FOLDER", help="Where relative paths begin.")
@device_option
@click.pass_obj
def import_(library: Path, source: Path, model: str | None, photos: Path | None, device: str) -> None:
    """Take in the vectors of SOURCE: a file that `descry export` wrote, or a folder as clip-retrieval writes it.

    Such a folder holds img_emb/img_emb_0.npy and metadata/metadata_0.parquet, with a column image_path.

    \b
    descry import vectors.npz
    descry import embeddings/ --model vit-b-32 --photos ~/Photos
    """
    from indexer.transfer import encoder_of, import_into, open_embeddings
    from search.progress import imported, watcher

    embeddings = open_embeddings(source, photos=photos)
    encoder = encoder_of(embeddings, model, library=library, device=device)
    report = import_into(library, embeddings, encoder, watcher=watcher("vectors"))
    write(imported(report) + "\n")
    if report.interrupted:
        say("Interrupted. What is done is kept: run the same command again to go on.")
        leave(INTERRUPTED)

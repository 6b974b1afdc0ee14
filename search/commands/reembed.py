"""`descry reembed`: another encoder for a library that is there."""

from __future__ import annotations

from pathlib import Path

import click

from search.options import device_option, models
from search.terminal import INTERRUPTED, leave, say, write


@click.command()
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=models,
    help="The new encoder, see `descry models`; by default the library's own.",
)
@device_option
@click.pass_obj
def reembed(library: Path, model: str | None, device: str) -> None:
    """Give a library another encoder, or its own one's newer weights; ids and tags stay.

    Searching goes on with the old vectors until all new ones are there. A run that was cut off goes on.

    \b
    descry reembed --model vit-b-32
    """
    from indexer import reembedding
    from indexer.encoders import load_encoder
    from indexer.library import Library
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
        say("Interrupted. What is done is kept: run the same command again to go on.")
        leave(INTERRUPTED)
    write(f"{report.embedded} items embedded anew by {encoder.name} in {report.seconds:.1f} s\n")

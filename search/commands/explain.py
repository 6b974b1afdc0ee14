"""`descry explain`: where in a photo the words fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.errors import LibraryNotFound
from search.options import device_option, format_option, models
from search.output import ROW_FORMATS
from search.terminal import say, write

if TYPE_CHECKING:
    from indexer import Encoder


@click.command()
@click.argument("photo", type=click.Path(path_type=Path))
@click.argument("sentences", nargs=-1, required=True, metavar="SENTENCE...")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the picture here: png, jpg, webp.")
@click.option("--overwrite", is_flag=True, help="Write over a file that is there.")
@click.option("--open", "show", is_flag=True, help="Open the picture with the desktop's program.")
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=models,
    help="The encoder: by default the library's, without a library the shipped one.",
)
@device_option
@format_option(ROW_FORMATS)
@click.pass_obj
def explain(
    library: Path,
    photo: Path,
    sentences: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    show: bool,
    model: str | None,
    device: str,
    form: str,
) -> None:
    """Show which part of a photo fits the words, as a picture: the photo, and beside it one for each sentence.

    What fits best glows. The photo need not be in the library. SCORE is the cosine of the sentence and the
    whole photo, BEST that of the part that fits best.

    \b
    descry explain car.jpg "a red car" "a tree" --out car-explained.png
    """
    from search.present import heatmap
    from search.query import as_text

    place = heatmap.place_for(photo, out, overwrite=overwrite)
    heats = heatmap.heats(_encoder(library, model, device), photo, [as_text(sentence) for sentence in sentences])
    heatmap.save(heatmap.picture(photo, heats), place)
    write(ROW_FORMATS[form](heatmap.rows(heats)))
    say(f"{place} shows it")
    if show:
        click.launch(str(place))


def _encoder(library: Path, model: str | None, device: str) -> Encoder:
    """The encoder asked for, else the library's, else the shipped one."""
    from indexer import Library, load_encoder
    from indexer.encoders import DEFAULT

    if model is not None:
        return load_encoder(model, device=device)
    try:
        with Library.open(library) as opened:
            encoder = load_encoder(opened.encoder_name, device=device)
            opened.check(encoder)
            return encoder
    except LibraryNotFound:
        return load_encoder(DEFAULT, device=device)

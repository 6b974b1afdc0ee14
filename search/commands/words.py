"""`descry words`: what a photo is about."""

from __future__ import annotations

from pathlib import Path

import click

from search.options import count_option, device_option, format_option
from search.output import ROW_FORMATS
from search.terminal import write


@click.command()
@click.argument("photo")
@count_option(5, "Words at most.")
@format_option(ROW_FORMATS)
@device_option
@click.pass_obj
def words(library: Path, photo: str, k: int, form: str, device: str) -> None:
    """Say what a photo is about, in everyday words; it need not be in the library.

    \b
    descry words dog.jpg
    """
    from indexer.library import Library
    from search.engine import Engine
    from search.organise.vocabulary import rivals, vocabulary
    from search.organise.words import words_of
    from search.query import like
    from search.relevance import judge_for

    query = like(photo)
    with Library.open(library) as opened:
        engine = Engine(opened, device=device)
        known = vocabulary(opened, engine.encoder)
        judge = judge_for(engine.encoder.checksum, rivals(opened))
        (found,) = words_of(engine.embed([query]), known, judge, k=k)
    rows = [{"score": round(one.score, 3), "probability": round(one.probability, 3), "word": one.word} for one in found]
    write(ROW_FORMATS[form](rows))

"""`descry words`: what a photo is about."""

from __future__ import annotations

from pathlib import Path

import click

from search.reports import FORMATS


@click.command()
@click.argument("photo")
@click.option("-k", default=5, show_default=True, type=click.IntRange(min=1), help="Words at most.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="table", show_default=True)
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="cpu, cuda, mps ...")
@click.pass_obj
def words(library: Path, photo: str, k: int, form: str, device: str) -> None:
    """Say what a photo is about, in everyday words; it need not be in the library.

    \b
    descry words dog.jpg
    """
    from indexer.library import Library
    from search.engine import Engine
    from search.organise.vocabulary import vocabulary
    from search.organise.words import words_of
    from search.query import like

    query = like(photo)
    with Library.open(library) as opened:
        engine = Engine(opened, device=device)
        (found,) = words_of(engine.embed([query]), vocabulary(opened, engine.encoder), k=k)
    click.echo(FORMATS[form]([{"score": round(word.score, 3), "word": word.word} for word in found]))

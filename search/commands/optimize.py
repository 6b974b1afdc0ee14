"""`descry optimize`: the kind of index that serves a library best.

It is tuned by questions: the library's own vectors of another kind if it has them, else general sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from indexer.items import Float32Array, evenly_spaced
from indexer.library import Library
from search.options import Finite
from search.terminal import write

if TYPE_CHECKING:
    from indexer.nearest.tuning import TuningResult

# Questions of a modality, of which half choose: see `indexer.nearest.tuning.SURE` for what more of them are worth.
QUESTIONS = 2000

# The modality whose vectors ask for those of another: across is how people ask, and harder than within.
ASKED_BY = {"image": "text", "text": "image"}


class Optimized(NamedTuple):
    """What was found of a modality, and by which questions: "2000 of the library's own text vectors"."""

    result: TuningResult
    questions: str


def optimize_all(library: Library, *, recall: float) -> Iterator[Optimized]:
    """Tunes every modality of the library for a wished recall@10, see `Library.optimize`."""
    for modality in sorted(library.catalog.counts()):
        rows, questions = _questions(library, modality)
        yield Optimized(library.indexes.optimize(modality, rows, recall=recall), questions)


def renew(library: Library) -> Iterator[Optimized]:
    """Tunes what has outgrown the index that was chosen for it, for the recall that was wished then."""
    for modality, choice in library.indexes.outgrown().items():
        rows, questions = _questions(library, modality)
        yield Optimized(library.indexes.optimize(modality, rows, recall=choice.target), questions)


def _questions(library: Library, modality: str) -> tuple[Float32Array, str]:
    """Unit rows `[q, dim]` that ask for items of a modality, and what they are."""
    from search.organise.vocabulary import shipped_words
    from search.prompt_templates import embed_texts

    other = ASKED_BY.get(modality, "text")
    if library.catalog.counts().get(other, 0) >= QUESTIONS:
        return library.index(other).sample(QUESTIONS), f"{QUESTIONS} of the library's own {other} vectors"
    words = shipped_words()
    chosen = [words[place] for place in evenly_spaced(len(words), QUESTIONS)]
    return embed_texts(library.encoder(), chosen), f"{QUESTIONS} general sentences"


def explained(optimized: Optimized) -> str:
    """What was chosen and why, as two lines."""
    result, tried = optimized.result, optimized.result.tried
    name = f"{result.modality}: {result.vectors:,} vectors"
    if tried is None:
        return f"{name}, exact: {result.exact:.2f} ms a query\n  so few are best searched without missing any"
    measured = (
        f"by half of {optimized.questions}; with the others recall@10 {tried.recall:.3f}, {result.target:g} wished"
    )
    times = f"{result.milliseconds:.2f} ms a query, {result.exact:.2f} ms when exact"
    if result.pays:
        return (
            f"{name} in {tried.nlist} lists, of which a query scans the nearest {tried.nprobe}: {times}\n"
            f"  the cheapest, with the {tried.refine_k} best ranked exactly, chosen {measured}"
        )
    return (
        f"{name}, exact: {result.exact:.2f} ms a query\n"
        f"  {tried.nprobe} of {tried.nlist} lists would have to be scanned, judged {measured}"
    )


@click.command()
@click.option(
    "--recall",
    default=0.98,
    show_default=True,
    type=Finite(0, 1, min_open=True),
    help="The share of the ten nearest that a search must find, on average.",
)
@click.pass_obj
def optimize(library: Path, recall: float) -> None:
    """Make searching a large library faster: choose the kind of its indexes by measuring.

    Small libraries are searched exactly, which is best for them. Large ones may miss a little for much time:
    what a search misses, and what it saves, is measured with the library's own vectors. Searching goes on meanwhile.

    \b
    descry optimize --recall 0.99
    """
    with Library.open(library, readonly=False) as opened:
        for optimized in optimize_all(opened, recall=recall):
            write(explained(optimized) + "\n")

"""The questions by which a library's indexes are tuned: its own of another kind if it has them, else general ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from indexer.items import Float32Array, spread
from indexer.library import Library
from indexer.nearest.tuning import TuningResult
from search.organise.vocabulary import shipped_words
from search.prompts import embed_texts

# Questions of a modality, of which half choose: see `indexer.nearest.tuning.SURE` for what more of them are worth.
QUESTIONS = 2000

# The modality whose vectors ask for those of another: across is how people ask, and harder than within.
ASKED_BY = {"image": "text", "text": "image"}


class Optimized(NamedTuple):
    """What was found of a modality, and what it was asked: "2000 of the library's own text vectors"."""

    result: TuningResult
    asked: str


def optimize(library: Library, *, recall: float) -> Iterator[Optimized]:
    """Tunes every modality of the library for a wished recall@10, see `Library.optimize`."""
    for modality in sorted(library.catalog.counts()):
        rows, asked = _questions(library, modality)
        yield Optimized(library.indexes.optimize(modality, rows, recall=recall), asked)


def renew(library: Library) -> Iterator[Optimized]:
    """Tunes what has outgrown the index that was chosen for it, for the recall that was wished then."""
    for modality, choice in library.indexes.outgrown().items():
        rows, asked = _questions(library, modality)
        yield Optimized(library.indexes.optimize(modality, rows, recall=choice.target), asked)


def _questions(library: Library, modality: str) -> tuple[Float32Array, str]:
    """Unit rows `[q, dim]` that ask for items of a modality, and what they are."""
    other = ASKED_BY.get(modality, "text")
    if library.catalog.counts().get(other, 0) >= QUESTIONS:
        return library.index(other).sample(QUESTIONS), f"{QUESTIONS} of the library's own {other} vectors"
    words = shipped_words()
    chosen = [words[place] for place in spread(len(words), QUESTIONS)]
    return embed_texts(library.encoder(), chosen), f"{QUESTIONS} general sentences"


def explained(optimized: Optimized) -> str:
    """What was chosen and why, as two lines."""
    result, tried = optimized.result, optimized.result.tried
    name = f"{result.modality}: {result.vectors:,} vectors"
    if tried is None:
        return f"{name}, exact: {result.exact:.2f} ms a query\n  so few are best searched without missing any"
    measured = f"by half of {optimized.asked}; with the others recall@10 {tried.recall:.3f}, {result.target:g} wished"
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

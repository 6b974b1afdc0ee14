"""Re-ranking: the first hits ordered anew by a model that looks at the question's words and a photo together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from indexer.encoders.blip import load_matcher as load_matcher  # for who checks early that it is there
from indexer.errors import SourceError
from indexer.library import Library
from indexer.modalities import open_image
from indexer.photos.pixels import upright_rgb
from search.hits import Candidate
from search.query import Query
from search.retrieval import RERANKED


def reranked(library: Library, query: Query, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The first `RERANKED` by how well they match what is wanted, those that cannot be looked at behind them.

    Raises `EncoderUnavailable` for a model that cannot be had.
    """
    matcher, pictures = load_matcher(query.rerank), {}
    for item in library.catalog.items([candidate.id for candidate in candidates[:RERANKED]]):
        with suppress(OSError, SourceError):
            pictures[item.id] = upright_rgb(open_image(item.path, item.part), side=matcher.side)
    wanted = " ".join(str(term.value) for term in query.terms if term.weight > 0)
    matches = dict(zip(pictures, matcher(wanted, list(pictures.values())), strict=True))
    looked_at = [replace(one, match=matches[one.id]) for one in candidates if one.id in matches]
    rest = [one for one in candidates if one.id not in matches]
    return sorted(looked_at, key=lambda one: -(one.match or 0)) + rest

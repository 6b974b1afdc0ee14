"""The map of a library: its photos laid out by likeness, with the names of their groups, on one page."""

from __future__ import annotations

from pathlib import Path

from indexer.encoders import Encoder
from indexer.library import Library
from indexer.report import Watcher
from search.organise import groups as grouping
from search.organise.layout import layout, sample
from search.organise.vocabulary import vocabulary
from search.present.map_page import Spot, check_name, write_map


def draw_map(library: Library, path: Path, encoder: Encoder, *, number: int | None, watcher: Watcher) -> str:
    """Writes the map of the library's photos in `number` groups to `path`; a line that says what it shows.

    Of more photos than a page takes, a sample is shown. Raises `PathError`, `QueryError`.
    """
    check_name(path)
    vectors = grouping.all_vectors(library)
    groups = grouping.groups(vectors, vocabulary(library, encoder), number)
    group_of = {id: place for place, group in enumerate(groups) for id in group.ids.tolist()}
    chosen = sample(vectors)
    places = dict(zip(chosen.ids.tolist(), layout(chosen.rows).tolist(), strict=True))
    items = library.catalog.items(list(places))
    spots = [Spot(item.path, x, y, group_of[id]) for item in items for id in [item.id or 0] for x, y in [places[id]]]
    count = f"{len(spots)} photos" if len(chosen) == len(vectors) else f"{len(spots)} of {len(vectors)} photos"
    said = f"{count}, {len(groups)} groups"
    write_map(path, spots, [group.words for group in groups], title=library.path.name, count=said, watcher=watcher)
    return f"{path.name} shows {said}, {path.stat().st_size / 1e6:.1f} MB"

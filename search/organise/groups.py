"""Groups of a library's photos that nobody has to name: k-means on their vectors, named by words of the vocabulary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import faiss
import numpy as np

from indexer.encoders.base import Encoder, unit_rows
from indexer.errors import QueryError
from indexer.items import Float32Array, Int64Array, Vectors
from indexer.library import Library
from search.organise.vocabulary import Vocabulary, distinct, vocabulary
from search.present.formats import Rows

MODALITY = "image"

# The square root of half the photos is the old rule of thumb (Mardia, Kent and Bibby, 1979); more groups than this
# are no overview.
GROUPS_AT_MOST = 40

# Words in a group's name. The first is the group's alone.
WORDS = 3

# k-means is started so often and the best taken: of six clear groups, 3 starts missed one in two of eight trials, 10 in
# none; they take a second of a core for 8,000 photos. The same numbers each time make the same groups.
STARTS, ROUNDS, SEED = 10, 25, 1


@dataclass(frozen=True, slots=True)
class Group:
    """Photos that are alike: `words` name them, `ids` are the library's, those nearest to the middle first."""

    words: tuple[str, ...]
    ids: Int64Array

    @property
    def name(self) -> str:
        """The words as one."""
        return ", ".join(self.words)


def usual_number(photos: int) -> int:
    """How many groups a number of photos is cut into where nobody says.

    >>> [usual_number(photos) for photos in (2, 50, 1000, 100_000)]
    [1, 5, 22, 40]
    """
    return max(1, min(round(math.sqrt(photos / 2)), GROUPS_AT_MOST))


def all_vectors(library: Library) -> Vectors:
    """The vectors of the library's photos. Raises `QueryError` if it holds none."""
    pieces = list(library.catalog.vectors_since(MODALITY, 0))
    if not pieces:
        raise QueryError(f"The library {library.path} holds no photo: `descry index FOLDER` adds some.")
    return Vectors(np.concatenate([piece.ids for piece in pieces]), np.concatenate([piece.rows for piece in pieces]))


def groups_of(library: Library, encoder: Encoder, number: int | None = None) -> list[Group]:
    """The library's photos in groups. Raises `QueryError` if there are none.

    Names go by directions, not by the judge of `--relevant`: of the 40 groups of 8,090 photos it would change two, and
    of few photos it leaves words that hardly say anything ("greeting card" for pages and cups).
    """
    return groups(all_vectors(library), vocabulary(library, encoder), number)


def groups(vectors: Vectors, words: Vocabulary, number: int | None = None) -> list[Group]:
    """The photos in `number` groups, the largest first; fewer where fewer differ. Raises `QueryError` for below 1."""
    number = usual_number(len(vectors)) if number is None else number
    if number < 1:
        raise QueryError(f"Photos cannot be put into {number} groups: ask for at least 1.")
    centres, nearest = _k_means(vectors.rows, min(number, len(vectors)))
    members = [np.flatnonzero(nearest == place) for place in range(len(centres))]
    full = sorted((place for place in range(len(centres)) if len(members[place])), key=lambda p: -len(members[p]))
    names = _names(centres[full] - vectors.rows.mean(axis=0), words)
    return [
        Group(name, vectors.ids[_nearest_first(vectors.rows, members[place], centres[place])])
        for place, name in zip(full, names, strict=True)
    ]


def _k_means(rows: Float32Array, number: int) -> tuple[Float32Array, Int64Array]:
    """Unit centres `[number, dim]` and the number of the nearest one of each row `[n]`."""
    settings = {"nredo": STARTS, "niter": ROUNDS, "seed": SEED, "spherical": True, "min_points_per_centroid": 1}
    k_means = faiss.Kmeans(rows.shape[1], number, **settings)
    k_means.train(np.ascontiguousarray(rows))
    _, nearest = k_means.index.search(np.ascontiguousarray(rows), 1)
    centres: Float32Array = k_means.index.reconstruct_n(0, number)
    return centres, nearest[:, 0]


def _nearest_first(rows: Float32Array, members: Int64Array, centre: Float32Array) -> Int64Array:
    # row by row, and copies of a photo in the order of their ids: a product of matrices sums equal rows differently
    order: Int64Array = members[np.argsort(-np.vecdot(rows[members], centre), kind="stable")]
    return order


def _names(directions: Float32Array, words: Vocabulary) -> list[tuple[str, ...]]:
    """Words for each direction `[groups, dim]`, from the library's middle to the group's; the first is its alone.

    Groups and words are matched from the best pair on, so that a word goes to the group that it says most of.
    """
    scores = unit_rows(directions) @ words.centred().T  # (groups, dim) @ (dim, words)
    first: dict[int, int] = {}
    for pair in np.argsort(-scores, axis=None, kind="stable").tolist():
        group, word = divmod(pair, len(words))
        if group not in first and word not in first.values():
            first[group] = word
        if len(first) == len(scores):
            break
    return [_name(first.get(group), row, words.words) for group, row in enumerate(scores)]


def _name(first: int | None, row: Float32Array, words: Sequence[str]) -> tuple[str, ...]:
    order = np.argsort(-row, kind="stable").tolist()
    order = order if first is None else [first, *order]
    return tuple(words[place] for place in islice(distinct(order, words), WORDS))


def rows(library: Library, found: Sequence[Group], *, members: bool) -> Rows:
    """Groups as plain data: number, count, name, and the most typical photo, or with `members` all of them."""
    table: list[dict[str, object]] = []
    for number, group in enumerate(found, start=1):
        items = library.catalog.items((group.ids if members else group.ids[:1]).tolist())
        shown = {"paths": [str(item.path) for item in items]} if members else {"typical": items[0].path}
        table.append({"group": number, "photos": len(group.ids), "name": group.name, **shown})
    return table

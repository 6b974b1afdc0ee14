"""The map of a library: its photos laid out by likeness, with the names of their groups, on one page.

Alike photos lie side by side, by t-SNE on their vectors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from indexer.encoders import Encoder
from indexer.errors import QueryError
from indexer.items import Float32Array, Vectors
from indexer.library import Library
from indexer.report import Watcher
from search.organise import groups as grouping
from search.organise.vocabulary import vocabulary
from search.present.map_page import Spot, write_map
from search.present.sheet import check_page

# Of larger libraries, so many photos are laid out, drawn at random: t-SNE takes 7 ms of a core for each (8,090 in
# 55 s; umap-learn took 79 s, and brings numba), and a page with more thumbnails is slow to open.
PHOTOS_AT_MOST = 10_000

# t-SNE looks at so many neighbours of a photo (its default), and less of few photos; below this number of photos there
# is nothing to look at, and the two main directions of their vectors do.
PERPLEXITY = 30.0
FEWEST = 8

# Directions that t-SNE is shown, as its authors advise: the first 50 hold what neighbours are made of.
DIRECTIONS = 50

SEED = 1

# Below this number of photos one thread lays them out: several wait for each other so busily that on a machine with
# other work nine photos took a minute, and 0.7 s on one.
ONE_THREAD_BELOW = 2000

# Seconds of a core that t-SNE takes for a photo, to say beforehand how long it will be.
SECONDS_A_PHOTO = 0.007


def draw_map(library: Library, path: Path, encoder: Encoder, *, number: int | None, watcher: Watcher) -> str:
    """Writes the map of the library's photos in `number` groups to `path`; a line that says what it shows.

    Of more photos than a page takes, a sample is shown. Raises `PathError`, `QueryError`.
    """
    check_page(path)
    watcher.stage("reading the vectors")
    vectors = grouping.all_vectors(library)
    chosen = sample(vectors)
    watcher.stage(f"putting {len(vectors)} photos into groups")
    groups = grouping.groups(vectors, vocabulary(library, encoder), number)
    group_of = {id: place for place, group in enumerate(groups) for id in group.ids.tolist()}
    watcher.stage(f"laying out {len(chosen)} photos: about {1 + SECONDS_A_PHOTO * len(chosen):.0f} s")
    places = dict(zip(chosen.ids.tolist(), layout(chosen.rows).tolist(), strict=True))
    items = library.catalog.items(list(places))
    spots = [Spot(item.path, x, y, group_of[id]) for item in items for id in [item.id or 0] for x, y in [places[id]]]
    count = f"{len(spots)} photos" if len(chosen) == len(vectors) else f"{len(spots)} of {len(vectors)} photos"
    said = f"{count}, {len(groups)} groups"
    write_map(path, spots, [group.words for group in groups], title=library.path.name, count=said, watcher=watcher)
    return f"{path.name} shows {said}, {path.stat().st_size / 1e6:.1f} MB"


def sample(vectors: Vectors) -> Vectors:
    """The photos to lay out: all of them, or as many of them as a map takes, the same ones each time."""
    if len(vectors) <= PHOTOS_AT_MOST:
        return vectors
    chosen = np.sort(np.random.default_rng(SEED).choice(len(vectors), PHOTOS_AT_MOST, replace=False))
    return Vectors(vectors.ids[chosen], vectors.rows[chosen])


def layout(rows: Float32Array) -> npt.NDArray[np.float64]:
    """Places `[n, 2]` in the unit square for photos, unit rows `[n, dim]`; the same for the same photos.

    van der Maaten and Hinton, "Visualizing Data using t-SNE" (2008). Raises `QueryError` where scikit-learn is missing.
    """
    main = _main_directions(rows)
    places = main[:, :2] if len(rows) < FEWEST else _t_sne(main)
    places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    reach = np.abs(places - middle).max() or 1.0
    placed: npt.NDArray[np.float64] = 0.5 + (places - middle) / (2 * reach)
    return placed


def _main_directions(rows: Float32Array) -> npt.NDArray[np.float64]:
    """The rows' coordinates `[n, at most DIRECTIONS]` along their principal directions, the main one first."""
    centred = rows.astype(np.float64) - rows.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    # a direction's sign is arbitrary: the same photos shall give the same map everywhere
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(len(variances))])
    coordinates: npt.NDArray[np.float64] = centred @ (directions * signs)[:, ::-1][:, :DIRECTIONS]
    return coordinates


def _t_sne(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    try:
        from sklearn.manifold import TSNE  # late: only a map needs it
        from threadpoolctl import threadpool_limits  # scikit-learn brings it
    except ImportError as error:
        raise QueryError("A map is laid out by scikit-learn, an extra: pip install 'descry[map]'.") from error
    start = 1e-4 * rows[:, :2] / (rows[:, 0].std() or 1.0)
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    t_sne = TSNE(2, perplexity=perplexity, init=start, random_state=SEED)
    with threadpool_limits(1 if len(rows) < ONE_THREAD_BELOW else None):
        places: npt.NDArray[np.float64] = t_sne.fit_transform(rows)
    return places

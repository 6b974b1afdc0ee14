"""The photos of a library that are there several times: equal files, altered copies, and bursts.

What an equal file is, its fingerprint says; an altered copy (resized, compressed again, cropped a little) is near in
the library's vectors *and* in its perceptual hash; a burst is near in the vectors and taken within seconds by one
camera, and looks the same but for what moved. Nothing is ever changed or deleted: this is a report.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

import faiss
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from indexer.items import Float32Array, Int64Array, Item, Vectors
from indexer.report import Watcher
from indexer.storage.catalog import Catalog
from search.organise.hashes import HashStore, distances

MODALITY = "image"

# Equal bytes; the same photo in another file; one scene, photographed again within seconds.
EXACT, NEAR_EXACT, BURST = KINDS = ("exact", "near-exact", "burst")


class Likeness(NamedTuple):
    """How alike two photos have to look: the least cosine of their vectors, and the most bits of 144 that differ."""

    cosine: float
    bits: int


# No pair that was none among 1,000 photos and their copies, and all copies found but 2 to 19 % of the smallest and
# worst compressed: `python -m evaluation duplicates`, docs/design.md. A higher cosine loses small copies.
ALTERED = Likeness(cosine=0.60, bits=26)

# Photos of a burst are at most so many seconds apart, one from the next, have at least this cosine and at most so many
# bits of their hashes different: of 243 photos of different things 2 are put into bursts, of 66 second frames all found
# (docs/design.md).
BURST_SECONDS = 2
BURSTS = Likeness(cosine=0.70, bits=44)

# So many photos after each are compared with it: a camera may turn to something else and back, and ten thousand scans
# may all bear the same date.
REACH = 4

# Copies have nearly the same ratio of sides: a tenth cut off one side makes it 1.11 times what it was.
RATIO = 1.12

# A crop changes the ratio of the sides by more than rounding does.
RATIO_CHANGED = 0.01

# Neighbours looked at of each photo: a photo with more copies is found whole through the copies' own neighbours.
NEIGHBOURS = 8

# Up to so many photos each is compared with all; beyond, with those of the nearest lists of an inverted file.
ALL_UP_TO = 20_000

# Of an inverted file, the lists that are looked into, and the photos a list that its centres are learnt from. Of
# 50,000 synthetic photos a copy at cosine 0.81 is found in 97.6 % with 4 lists and 99.2 % with 8; 200,000 take 29 s of
# one core.
LISTS_PROBED = 8
LEARNT_FROM = 40

# Pairs whose hashes are compared at once: they take a kilobyte each.
AT_ONCE = 10_000

# Which of some positions are the same as one.
Same = Callable[[int, Int64Array], npt.NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Copy:
    """A photo beside the best of its group: of which of `KINDS` it is, and how it differs, in a word or two."""

    item: Item
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Group:
    """Copies of one photo: the best (the most pixels, then the most bytes), and the others."""

    best: Item
    others: tuple[Copy, ...]


class Pairs(NamedTuple):
    """Pairs of ids `[n, 2]`, the lower first, each pair once, and their cosines `[n]`."""

    ids: Int64Array
    cosines: Float32Array


def duplicates(
    catalog: Catalog, *, kinds: Sequence[str] = KINDS, among: Int64Array | None = None, watcher: Watcher | None = None
) -> list[Group]:
    """The groups of copies, as far as they are of the wished kinds, by the paths of their best.

    Only photos count that are on disk as they were indexed, and of these the ids in `among`, if given. Those that may
    be altered copies are read, on all processors; `watcher` is told how that goes. A burst's photos are the best of
    their copies.
    """
    with catalog.snapshot():
        return _Search(catalog, among, watcher or Watcher()).groups(kinds)


def rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The groups as plain data, a photo a row, numbered from 1, the best of each in front."""
    return [
        {
            "group": number,
            "reason": reason,
            "difference": difference,
            "pixels": " x ".join(str(item.facts.get(side, "?")) for side in ("width", "height")),
            "bytes": item.facts["file_size"],
            "path": item.path,
            "id": item.id,
        }
        for number, group in enumerate(groups, start=1)
        for item, reason, difference in [(group.best, "best", ""), *map(attrgetter(*Copy.__slots__), group.others)]
    ]


def summary(groups: Sequence[Group]) -> str:
    """How much there is, in a line."""
    counts = Counter(copy.reason for group in groups for copy in group.others)
    size = sum(item.facts["file_size"] for item in spare(groups))
    kinds = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    count = f"{len(groups)} group{'' if len(groups) == 1 else 's'}"
    return f"{count}; beside the best {kinds or 'none'}: {size / 1e6:.1f} MB. Nothing was changed."


def spare(groups: Sequence[Group]) -> list[Item]:
    """All photos but the best of each group."""
    return [copy.item for group in groups for copy in group.others]


class _Search:
    """One look for duplicates: the catalog, whom it is among, what hashes are known, and who watches."""

    def __init__(self, catalog: Catalog, among: Int64Array | None, watcher: Watcher) -> None:
        self._catalog = catalog
        self._among = among
        self._watcher = watcher
        self._hashes = HashStore(catalog.path.parent)

    def groups(self, kinds: Sequence[str]) -> list[Group]:
        """The groups of the wished kinds."""
        groups = self._equal_files()
        if set(kinds) != {EXACT}:
            groups = self._with_altered_copies(groups)
        if BURST in kinds:
            groups += self._bursts(_spare_ids(groups))
        wished = [Group(group.best, tuple(copy for copy in group.others if copy.reason in kinds)) for group in groups]
        return sorted((group for group in wished if group.others), key=lambda group: group.best.path)

    def _equal_files(self) -> list[Group]:
        """Groups by the fingerprint of the content."""
        groups = []
        for equal in self._catalog.listing.equal_files(MODALITY):
            there = in_place(self._catalog, self._allowed(np.array(equal, np.int64)).tolist())
            if len(there) > 1:
                groups.append(Group(there[0], tuple(Copy(item, EXACT, "same content") for item in there[1:])))
        return groups

    def _allowed(self, ids: Int64Array) -> Int64Array:
        return ids if self._among is None else ids[np.isin(ids, self._among)]

    def _with_altered_copies(self, equal: Sequence[Group]) -> list[Group]:
        """The groups of equal files, and of altered copies with the files that equal them."""
        stood_for = {group.best.id: group for group in equal}
        pairs, _ = near_pairs(self._catalog, MODALITY, ALTERED.cosine, leave_out=_spare_ids(equal), among=self._among)
        groups = []
        for best, *others in self._alike(self._plausible(pairs), ALTERED, may=_not_apart):
            copies = [*_equals(stood_for, best, best)]
            for other in others:
                copies += [Copy(other, NEAR_EXACT, _change(best, other)), *_equals(stood_for, other, best)]
            groups.append(Group(best, tuple(copies)))
        return groups + list(stood_for.values())

    def _plausible(self, pairs: Int64Array) -> Int64Array:
        """The pairs that their facts do not speak against: like in shape, and not known to be of different times.

        Spares reading most photos of a camera: no two that it took a second apart are copies, however alike.
        """
        shapes = self._catalog.listing.shapes(np.unique(pairs).tolist())
        ids, ratios, times = (np.array([row[column] for row in shapes], np.float64) for column in range(3))
        first, second = np.searchsorted(ids, pairs).T
        alike = np.abs(np.log(ratios[first] / ratios[second])) <= np.log(RATIO)
        apart = np.abs(times[first] - times[second]) > 0  # a time that is not known is NaN, and not apart from any
        kept: Int64Array = pairs[alike & ~apart]
        return kept

    def _bursts(self, leave_out: Int64Array) -> list[Group]:
        """Groups of photos taken one after another by one camera, which are alike."""
        groups = []
        for best, *others in self._alike(self._taken_together(leave_out), BURSTS, may=lambda _one, _other: True):
            others.sort(key=lambda item: (item.facts["taken"], item.path))
            groups.append(Group(best, tuple(Copy(item, BURST, _apart(best, item)) for item in others)))
        return groups

    def _taken_together(self, leave_out: Int64Array) -> Int64Array:
        """Pairs of ids `[n, 2]` of photos that one camera took within `BURST_SECONDS`."""
        times = self._catalog.listing.camera_times(MODALITY)
        all_ids = np.array([id for id, _, _ in times], np.int64)
        kept = ~np.isin(all_ids, leave_out) & np.isin(all_ids, self._allowed(all_ids))
        ids, seconds = (np.array([row[column] for row in times], np.int64)[kept] for column in (0, 1))
        cameras = np.array([row[2] or "" for row in times], dtype=object)[kept]
        pairs = [np.empty((0, 2), np.int64)]
        for step in range(1, REACH + 1):
            together = (seconds[step:] - seconds[:-step] <= BURST_SECONDS) & (cameras[step:] == cameras[:-step])
            pairs.append(np.stack([ids[:-step][together], ids[step:][together]], axis=1))
        return np.concatenate(pairs)

    def _alike(self, pairs: Int64Array, least: Likeness, *, may: Callable[[Item, Item], bool]) -> list[list[Item]]:
        """Groups of two and more photos that look alike, the best in front, from pairs `[n, 2]` of ids that may.

        All of a group look like its best, and `may` allows it. The photos are read for that, as far as they are on
        disk, unless their hashes are remembered. Hashes are not made when photos are indexed: they take 7 ms of a
        core for 224 x 224 pixels and 19 ms for 12 megapixels, where embedding takes 12; all would pay for few.
        """
        suspects, hashes = self._hashes.of(in_place(self._catalog, np.unique(pairs).tolist()), self._watcher)
        ids = np.array([item.id for item in suspects], np.int64)
        vectors = self._catalog.vectors(ids.tolist()).rows

        def alike(one: Int64Array | int, others: Int64Array) -> npt.NDArray[np.bool_]:
            near = (vectors[others] * vectors[one]).sum(axis=-1) >= least.cosine
            looks = near & (distances(hashes[one], hashes[others]) <= least.bits)
            ones = np.broadcast_to(one, others.shape)
            for place in np.flatnonzero(looks):  # few: what is asked in Python is asked last
                looks[place] = may(suspects[ones[place]], suspects[others[place]])
            return np.asarray(looks)

        pairs = _positions(ids, pairs)
        pairs = np.concatenate([part[alike(*part.T)] for part in np.array_split(pairs, 1 + len(pairs) // AT_ONCE)])
        return [[suspects[position] for position in group] for group in grouped(pairs, len(ids), alike)]


def _spare_ids(groups: Sequence[Group]) -> Int64Array:
    return np.array([item.id for item in spare(groups)], np.int64)


def _not_apart(one: Item, other: Item) -> bool:
    """Whether two photos may have been taken at once: a third without a time must not join what has different ones."""
    times = {item.facts["taken"] for item in (one, other) if "taken" in item.facts}
    return len(times) < 2


def _equals(stood_for: dict[int | None, Group], item: Item, best: Item) -> list[Copy]:
    """The files that equal the item, as copies of the best; they are in no other group then."""
    group = stood_for.pop(item.id, None)
    if group is None or item is best:
        return [] if group is None else list(group.others)
    return [Copy(copy.item, NEAR_EXACT, _change(best, item)) for copy in group.others]


def _change(best: Item, copy: Item) -> str:
    """How a copy differs from the best, by what is known without looking at it."""
    (width, height), (narrow, low) = ((item.facts["width"], item.facts["height"]) for item in (best, copy))
    if abs(width * low / (height * narrow) - 1) > RATIO_CHANGED + 1 / min(narrow, low):
        return "cropped"
    if (width, height) != (narrow, low):
        return f"resized to {narrow} x {low}"
    return "other format" if best.path.suffix.lower() != copy.path.suffix.lower() else "compressed again or edited"


def _apart(best: Item, other: Item) -> str:
    first, second = (datetime.fromisoformat(item.facts["taken"]) for item in (best, other))
    return f"{abs(second - first).seconds} s {'earlier' if second < first else 'later'}"


# photos as they were indexed


def in_place(catalog: Catalog, ids: Sequence[int]) -> list[Item]:
    """The items of `ids` whose files are there with the size and time of their indexing, the best first.

    The best has the most pixels, then the most bytes (the least compressed), then the oldest file. A file that is
    reached under several names comes once: whoever deleted one of the names might delete the only copy.
    """
    stored = catalog.files_of(ids)
    files: dict[tuple[int, int], Item] = {}
    for item in catalog.items(ids):
        try:
            status = item.path.stat()
        except OSError:
            continue
        file = stored[item.id or 0]
        if (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns):
            known = files.setdefault((status.st_dev, status.st_ino), item)
            if _is_linked(known) and not _is_linked(item):
                files[status.st_dev, status.st_ino] = item
    return sorted(files.values(), key=_best_first)


def _is_linked(item: Item) -> bool:
    """Whether the path leads over a symbolic link."""
    return os.path.realpath(item.path) != str(item.path)


def _best_first(item: Item) -> tuple[int, int, str, str]:
    pixels = item.facts.get("width", 0) * item.facts.get("height", 0)
    return -pixels, -item.facts.get("file_size", 0), str(item.facts.get("modified", "")), str(item.path)


# pairs of near neighbours


def near_pairs(
    catalog: Catalog, modality: str, least: float, *, leave_out: Int64Array, among: Int64Array | None = None
) -> Pairs:
    """The pairs of items whose vectors have a cosine of at least `least`, but for those with an id of `leave_out`.

    If `among` is given, only those with an id of it.

    Exact up to `ALL_UP_TO` items and `NEIGHBOURS` neighbours; beyond that, nearly so.
    """
    kept = np.setdiff1d(catalog.ids(modality) if among is None else among, leave_out)
    index = _index(catalog, modality, kept)
    found = [_above(index, piece, least) for piece in _pieces(catalog, modality, kept)]
    ids = np.concatenate([pairs for pairs, _ in found]) if found else np.empty((0, 2), np.int64)
    cosines = np.concatenate([cosines for _, cosines in found]) if found else np.empty(0, np.float32)
    _, once = np.unique(ids @ (ids.max(initial=0) + 1, 1), return_index=True)  # a pair as one number: quick to compare
    return Pairs(ids[once], np.minimum(cosines[once], 1))


def _above(index: Any, piece: Vectors, least: float) -> tuple[Int64Array, Float32Array]:
    """The pairs `[n, 2]` of the piece's items and their neighbours, the lower id first, and their cosines `[n]`."""
    cosines, ids = index.search(piece.rows, NEIGHBOURS + 1)  # itself is one
    own = np.broadcast_to(piece.ids[:, np.newaxis], ids.shape)
    wanted = (cosines >= least) & (ids != own) & (ids >= 0)
    pairs = np.sort(np.stack([own[wanted], ids[wanted]], axis=1), axis=1)
    return pairs, cosines[wanted]


def _index(catalog: Catalog, modality: str, kept: Int64Array) -> Any:
    """A FAISS index of its own: the library's may be tuned for sentences, and photos' neighbours are nearer."""
    count = len(kept)
    dimension = int(catalog.meta()["dimension"])
    lists = 1 << round(np.log2(2 * np.sqrt(max(count, 1))))
    kind = "IDMap,Flat" if count <= ALL_UP_TO else f"IVF{lists},SQfp16"
    index: Any = faiss.index_factory(dimension, kind, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        step = max(1, count // (LEARNT_FROM * lists))
        sample = [piece.rows[::step] for piece in _pieces(catalog, modality, kept)]
        index.train(np.concatenate(sample))
        index.nprobe = LISTS_PROBED
    for piece in _pieces(catalog, modality, kept):
        index.add_with_ids(piece.rows, piece.ids)
    return index


def _pieces(catalog: Catalog, modality: str, kept: Int64Array) -> Iterator[Vectors]:
    """The vectors of the kept ids, in bounded pieces."""
    for vectors in catalog.vectors_since(modality, 0):
        wanted = np.isin(vectors.ids, kept)
        if wanted.any():
            yield Vectors(vectors.ids[wanted], np.ascontiguousarray(vectors.rows[wanted]))


# pairs made groups


def grouped(pairs: Int64Array, count: int, same: Same) -> list[Int64Array]:
    """Groups of two and more of the positions below `count`, of which the lower are the better, the best in front.

    The connected components of `pairs` `[n, 2]`, each taken apart by its best: with it stay those that are the `same`
    as it, and the rest is grouped likewise. Without that, A like B like C ... would make one group of half a library.
    """
    return [group for component in _components(pairs, count) for group in _stars(component, same)]


def _components(pairs: Int64Array, count: int) -> list[Int64Array]:
    """The components of two and more, each in ascending order."""
    ones = np.ones(len(pairs), dtype=bool)
    _, labels = connected_components(
        coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count)), directed=False
    )
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return [part for part in parts if len(part) > 1]


def _stars(component: Int64Array, same: Same) -> Iterator[Int64Array]:
    left = component
    while len(left) > 1:
        best, others = int(left[0]), left[1:]
        with_it = same(best, others)
        if with_it.any():
            yield np.concatenate([left[:1], others[with_it]])
        left = others[~with_it]


def _positions(ids: Int64Array, pairs: Int64Array) -> Int64Array:
    """Pairs of ids as pairs of their positions in `ids`; pairs of which one is not there are left out."""
    pairs = pairs[np.isin(pairs, ids).all(axis=1)]
    order = np.argsort(ids)
    return order[np.searchsorted(ids, pairs, sorter=order)]

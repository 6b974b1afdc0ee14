"""Copies: equal files, told by their fingerprints, and altered ones, told by vectors and perceptual hashes together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from indexer.items import Int64Array, Item
from indexer.report import Watcher
from indexer.storage.catalog import Catalog
from search.organise.alike import EXACT, NEAR_EXACT, Copy, Group, spare_ids
from search.organise.looks import Likeness, like_groups
from search.organise.neighbours import near_pairs
from search.organise.standing import standing

# Measured by `python -m evaluation duplicates` (1,000 photos of 224 x 224, a copy of each, hard negatives among them),
# val / test: no pair of copies that was none, and found are all copies in another format, turned by their metadata,
# compressed with quality 50, 15 % brighter or darker, and cropped by up to 10 %; with quality 25 100 / 98.5 %, resized
# to a half 94 / 97 %, resized to 0.6 with quality 50 81 / 85 % (the encoder loses sight of photos that small). Among
# the 8,090 of Flickr8k, at cosine 0.75, two pairs too many: frames of one place, which bear no time.
# A higher cosine saves reading where photos bear no time: of Flickr8k 88 % have a neighbour within 0.6, 47 % within
# 0.7 and 14 % within 0.8, but of copies resized to 0.6 with quality 50 only 91, 68 and 34 % lie there.
LIKENESS = Likeness(cosine=0.60, bits=26)

# Copies have nearly the same ratio of sides: a tenth cut off one side makes it 1.11 times what it was.
RATIO = 1.12

# A crop changes the ratio of the sides by more than rounding does.
RATIO_CHANGED = 0.01


def equal_files(catalog: Catalog) -> list[Group]:
    """Groups by the fingerprint of the content."""
    rows = catalog.connection.execute(
        "SELECT fingerprint, items.id FROM files JOIN items ON items.file_id = files.id "
        "WHERE items.modality = 'image' AND fingerprint IN "
        "(SELECT fingerprint FROM files WHERE fingerprint IS NOT NULL GROUP BY fingerprint HAVING count(*) > 1) "
        "ORDER BY fingerprint"
    )
    groups = []
    for _, equal in groupby(rows.fetchall(), key=lambda row: row[0]):
        there = standing(catalog, [id for _, id in equal])
        if len(there) > 1:
            groups.append(Group(there[0], tuple(Copy(item, EXACT, "same content") for item in there[1:])))
    return groups


def with_altered_copies(catalog: Catalog, equal: Sequence[Group], watcher: Watcher) -> list[Group]:
    """The groups of equal files, and of altered copies with the files that equal them."""
    stood_for = {group.best.id: group for group in equal}
    pairs, _ = near_pairs(catalog, "image", LIKENESS.cosine, leave_out=spare_ids(equal))
    groups = []
    pairs = _plausible(catalog, pairs)
    for best, *others in like_groups(catalog, pairs, LIKENESS, watcher, may=_not_apart):
        copies = [*_equals(stood_for, best, best)]
        for other in others:
            copies += [Copy(other, NEAR_EXACT, _change(best, other)), *_equals(stood_for, other, best)]
        groups.append(Group(best, tuple(copies)))
    return groups + list(stood_for.values())


def _plausible(catalog: Catalog, pairs: Int64Array) -> Int64Array:
    """The pairs that their facts do not speak against: like in shape, and not known to be taken at different times.

    Spares reading most photos of a camera: no two that it took a second apart are copies, however alike.
    """
    rows = catalog.connection.execute(
        "SELECT id, json_extract(facts, '$.width') * 1.0 / json_extract(facts, '$.height'), "
        "CAST(strftime('%s', json_extract(facts, '$.taken')) AS INTEGER) "
        "FROM items WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (json.dumps(np.unique(pairs).tolist()),),
    ).fetchall()
    ids, ratios, times = (np.array([row[column] for row in rows], np.float64) for column in range(3))
    first, second = np.searchsorted(ids, pairs).T
    alike = np.abs(np.log(ratios[first] / ratios[second])) <= np.log(RATIO)
    apart = np.abs(times[first] - times[second]) > 0  # a time that is not known is NaN, and not apart from any
    kept: Int64Array = pairs[alike & ~apart]
    return kept


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

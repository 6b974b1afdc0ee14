"""Bursts: photos that one camera took of one scene within seconds, which nobody needs all of."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from indexer.items import Int64Array, Item
from indexer.report import Watcher
from indexer.storage.catalog import Catalog
from search.organise.alike import BURST, Copy, Group
from search.organise.looks import Likeness, like_groups

# Photos of a burst are at most so many seconds apart, one from the next, have at least this cosine and at most so many
# bits of their hashes different. Of 243 photos of different things, sorted by class (Caltech 101) and made to look as
# if taken in a row, the vectors alone (0.80) put 43 into bursts, vectors and hashes 2; of 66 second frames by a hand
# not quite still the former found 97 % (Flickr8k val), the latter all (test). Bits that differ in real series there:
# a skater before one camera 18, people on a bench 32, a swimmer 36, a driver 38, a rider 42; but 50 to 56 where the
# photographer followed somebody running, and such series are not found.
BURST_SECONDS = 2
LIKENESS = Likeness(cosine=0.70, bits=44)

# So many photos after each are compared with it: a camera may turn to something else and back, and ten thousand scans
# may all bear the same date.
REACH = 4


def bursts(catalog: Catalog, spare: Int64Array, watcher: Watcher) -> list[Group]:
    """Groups of photos taken one after another by one camera, which are alike; the `spare` ones are left out."""
    groups = []
    pairs = _taken_together(catalog, spare)
    for best, *others in like_groups(catalog, pairs, LIKENESS, watcher):
        others.sort(key=lambda item: (item.facts["taken"], item.path))
        groups.append(Group(best, tuple(Copy(item, BURST, _apart(best, item)) for item in others)))
    return groups


def _taken_together(catalog: Catalog, spare: Int64Array) -> Int64Array:
    """Pairs of ids `[n, 2]` of photos that one camera took within `BURST_SECONDS`, without the `spare` ones."""
    rows = catalog.connection.execute(
        "SELECT id, CAST(strftime('%s', json_extract(facts, '$.taken')) AS INTEGER) AS second, "
        "json_extract(facts, '$.camera') AS camera "
        "FROM items WHERE modality = 'image' AND second IS NOT NULL ORDER BY camera, second, id"
    ).fetchall()
    kept = ~np.isin([id for id, _, _ in rows], spare)
    ids, seconds = (np.array([row[column] for row in rows], np.int64)[kept] for column in (0, 1))
    cameras = np.array([row[2] or "" for row in rows], dtype=object)[kept]
    pairs = [np.empty((0, 2), np.int64)]
    for step in range(1, REACH + 1):
        together = (seconds[step:] - seconds[:-step] <= BURST_SECONDS) & (cameras[step:] == cameras[:-step])
        pairs.append(np.stack([ids[:-step][together], ids[step:][together]], axis=1))
    return np.concatenate(pairs)


def _apart(best: Item, other: Item) -> str:
    first, second = (datetime.fromisoformat(item.facts["taken"]) for item in (best, other))
    return f"{abs(second - first).seconds} s {'earlier' if second < first else 'later'}"

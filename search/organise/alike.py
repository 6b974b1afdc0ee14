"""What a report of duplicates consists of: groups of photos that are one picture, and ways to tell them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from indexer.items import Int64Array, Item

# Equal bytes; the same picture in another file; one scene, photographed again within seconds.
EXACT, NEAR_EXACT, BURST = KINDS = ("exact", "near-exact", "burst")


@dataclass(frozen=True, slots=True)
class Copy:
    """A photo beside the best of its group: of which of `KINDS` it is, and how it differs, in a word or two."""

    item: Item
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Group:
    """Photos that are one picture: the best (the most pixels, then the most bytes), and the others."""

    best: Item
    others: tuple[Copy, ...]


def spare(groups: Sequence[Group]) -> list[Item]:
    """All photos but the best of each group."""
    return [copy.item for group in groups for copy in group.others]


def spare_ids(groups: Sequence[Group]) -> Int64Array:
    """The ids of all photos but the best of each group."""
    return np.array([item.id for item in spare(groups)], np.int64)


def spare_paths(groups: Sequence[Group]) -> list[Path]:
    """The paths of all photos but the best of each group."""
    return [item.path for item in spare(groups)]


def rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The groups as plain data, a photo a row, numbered from 1, the best of each in front."""
    return [
        {
            "group": number,
            "reason": reason,
            "difference": difference,
            "pixels": f"{item.facts['width']} x {item.facts['height']}",
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
    return f"{len(groups)} groups; beside the best {kinds or 'none'}: {size / 1e6:.1f} MB. Nothing was changed."

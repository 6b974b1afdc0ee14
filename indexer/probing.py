"""How an inverted file is searched: what was chosen for it, and how many of its lists a question looks at.

Apart from `inverted`, because who asks one question does so without FAISS, which takes longer to import.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Protocol

# Lists scanned, and the best by code that are read again, of an index that nobody tuned.
PROBES, DEPTH = 32, 200

# Codes whose vectors are read for each answer that is asked for, at least: it matters where many are asked for.
DEEPER = 4

# Vectors that are looked at for each one that is asked for; it matters where many are asked for.
LOOKED_AT = 8

# Filters leave thinner lists, and the nearest of what is left lie farther off: the root of what their share asks for is
# enough. At 1M x 256 in 2048 lists, of which 48 are scanned without a filter, photos drawn by chance: 10,000 allowed,
# 96 / 192 / 480 lists: recall@10 0.985 / 0.995 / 1.000; 100,000 allowed, 48 / 152: 0.989 / 0.999. For 0.98 the fourth
# root would do; the rest is for filters that do not leave out by chance.
SPREAD = 0.5

# Where the lists are tight, a few of them serve a question without a filter, and hold nothing of what a filter leaves.
# So with one it looks at no fewer than this part of them, and reads twice as deep. The hardest at hand, 1M x 512 in
# 2048 tight clusters of which one is scanned without a filter, a hundredth allowed by chance: recall@10 0.41 in 2.6 ms
# without this, 0.78 in 7.3 with the part, 0.85 in 8.4 with both.
LEAST_PART = 1 / 32
FILTERED_DEPTH = 2


class Lists(Protocol):
    """An inverted file, by its numbers: the lists, and those of them that a question scans at least."""

    @property
    def nlist(self) -> int:
        """All of them."""
        ...

    @property
    def nprobe(self) -> int:
        """The fewest."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """What `descry optimize` has chosen for a modality, and from what: `recall` was measured, `wished` was asked for.

    `checksum` is the encoder's: with another one's vectors nothing of it holds.
    """

    lists: int
    probes: int
    recall: float
    wished: float
    vectors: int
    checksum: str
    depth: int = DEPTH

    def as_json(self) -> str:
        """As the catalog's meta keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Choice:
        """What `as_json` wrote. Raises `ValueError` or `TypeError` for anything else."""
        return cls(**json.loads(text))


def probes_for(index: Lists, k: int, candidates: int, total: int) -> int:
    """How many lists to scan for the `k` nearest of `candidates` allowed vectors out of `total`.

    With a filter more of them, see `SPREAD`, and some for each one that is asked for.
    """
    least = max(index.nprobe, index.nlist * LEAST_PART) if candidates < total else index.nprobe
    widened = least * (total / max(1, min(candidates, total))) ** SPREAD
    deep = LOOKED_AT * k * index.nlist / max(1, candidates)
    return int(min(index.nlist, math.ceil(max(index.nprobe, widened, deep))))

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

# Up to so many numbers, allowed vectors times dimension, a filter's vectors are all looked at, by the upper eight bits:
# 20,000 of a million of 512 dimensions in 8 ms, as long as a filter takes over the codes, and none is missed.
READ_ALL = 10_240_000

# Vectors that are looked at for each one that is asked for; it matters where many are asked for.
LOOKED_AT = 8

# Filters leave thinner lists, and the nearest of what is left lie farther off; two thirds of what their share asks
# for (as a power) are enough. Where the lists are tight, a few of them serve a question without a filter, and hold
# nothing of what a filter leaves: so it looks at no fewer than this part of them, and reads deeper. Recall@10 and
# processor time at 5 / 10 / 50 % allowed by chance: of 1M x 256 resampled from real photos, asked for by sentences, 1
# / 1 / 1 in 6.2 / 6.3 / 4.8 ms; of as many in tight clusters 0.985 / 0.992 / 0.986 in 7.2 / 5.7 / 5.7, by the root
# and twice as deep 0.976 / 0.988 / 0.985 in 4.1 / 4.3 / 5.5; of 1M x 512 in such clusters 0.988 / 1 / 1 in 6.6 / 5.8
# / 5.1. There, with 2.5 % allowed, 0.952, by the root and twice as deep 0.912. Fewer are read all.
SPREAD = 2 / 3
LEAST_PART = 1 / 32
FILTERED_DEPTH = 4


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

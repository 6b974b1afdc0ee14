"""The parameters of an inverted file (IVF): what was chosen for it, and how many of its lists a question scans."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

# Lists scanned, and the best by code whose vectors are read, of an index that nobody tuned.
NPROBE, REFINE_K = 32, 200

# Codes whose vectors are read for each answer that is asked for, at least: it matters where many are asked for.
REFINE_FACTOR = 4

# Up to so many numbers, allowed vectors times dimension, a filter's vectors are all looked at, by the upper eight bits:
# 20,000 of a million of 512 dimensions in 8 ms, as long as a filter takes over the codes, and none is missed.
READ_ALL = 10_240_000

# Vectors that are looked at for each one that is asked for; it matters where many are asked for.
LOOKED_AT = 8

# With a filter a question scans more lists, by two thirds of what the allowed share asks for (as a power), and no fewer
# than this part of them, since few of tight lists hold what a filter leaves; and it reads deeper. Recall@10 of 1M x 256
# with 5 / 10 / 50 % allowed: resampled photos 1 / 1 / 1, tight clusters .985 / .992 / .986 (docs/performance.md).
WIDENING = 2 / 3
LEAST_PART = 1 / 32
FILTERED_REFINE = 4

# What the fields were called in libraries of earlier versions.
_OLD = {"lists": "nlist", "probes": "nprobe", "depth": "refine_k", "wished": "target"}


class IVFParameters(NamedTuple):
    """What `descry optimize` has chosen for a modality, and from what: `recall` was measured, `target` was asked for.

    A question scans `nprobe` of `nlist` lists at least and ranks the `refine_k` best by code exactly. `vectors` is how
    many there were; `checksum` is the encoder's: with another one's vectors nothing of it holds.
    """

    nlist: int
    nprobe: int
    recall: float
    target: float
    vectors: int
    checksum: str
    refine_k: int = REFINE_K

    def as_json(self) -> str:
        """As the catalog's meta keeps it."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> IVFParameters:
        """What `as_json` wrote. Raises `ValueError` or `TypeError` for anything else."""
        return cls(**{_OLD.get(name, name): value for name, value in json.loads(text).items()})


def nprobe_for(nprobe: int, nlist: int, k: int, candidates: int, total: int) -> int:
    """How many of `nlist` lists to scan, `nprobe` at least, for the `k` nearest of `candidates` allowed out of `total`.

    With a filter more of them, see `WIDENING`, and some for each one that is asked for.
    """
    least = max(nprobe, nlist * LEAST_PART) if candidates < total else nprobe
    widened = least * (total / max(1, min(candidates, total))) ** WIDENING
    deep = LOOKED_AT * k * nlist / max(1, candidates)
    return int(min(nlist, math.ceil(max(nprobe, widened, deep))))

"""Whether a hit fits its question at all: a probability for each hit, and a cut between what fits and what does not.

A cosine alone does not tell: 0.4 is much for one photo and little for another. So a hit is judged by its cosine, by its
leads (how much nearer the photo is to the question than to everyday words, the rivals, of which photos are near to some
anyway) and by the kind of question. Logistic regression weighs them; the weights belong to one encoder and stand, with
the figures that chose them, in `data/models/relevance.json`, which `python -m evaluation relevance --fit` writes.
Search, tags and words ask the same judge, and the library beside a photo plays no part but one: nothing fits where no
photo of it surely does, and among many photos one has to be surer than among few.

For an encoder that nobody has calibrated one lead decides, and where its rivals have no vectors yet (`descry tag` makes
them), how far a hit stands out of the library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer import shipped
from indexer.items import Float32Array
from search.query import STRICTNESS

FloatArray = npt.NDArray[np.float64]

# A sentence and a photo were judged for the calibration; other pairs were not.
CALIBRATED = ("text", "image")

# The rivals that a question has to beat, counted from the photo's best: a photo shows several things, and each has its
# words, the question's own among them. More ranks bring nothing, nor does leaving out words that mean the same.
RANKS = (2, 8)

# So many of the library's nearest photos are asked whether one of them surely fits.
WITNESSES = 50

# Of a normal distribution, the standard deviation is so many times the median distance from the median.
NORMAL = 1.4826


# The nearest wrong photo is the nearer, the more photos there are: `Cut.sure` is that of a library of so many, and no
# growth was measured beyond the greatest.
PHOTOS, PHOTOS_AT_MOST = 1_000, 10_000


class Cut(NamedTuple):
    """A hit fits from the probability `keeps` on, if one of the two best surely fits: with `sure` at least."""

    keeps: float
    sure: float


@dataclass(frozen=True, slots=True)
class Judge:
    """Logistic regression: the weights of `features` and an offset, and the cut for each strictness.

    `growth` is what the log-odds of `Cut.sure` gain where a library has e times as many photos; `kinds` `[dim]` what a
    question itself does to the log-odds, see `asked`. `rivals` `[r, dim]` are unit rows of everyday words; without them
    a hit is judged by how far it stands out.
    """

    weights: Sequence[float]
    offset: float | npt.NDArray[Any]
    cuts: Mapping[str, Cut]
    growth: float = 0.0
    kinds: Sequence[float] = ()
    rivals: Float32Array | None = None

    def asked(self, rows: Float32Array) -> Judge:
        """The judge of a question, a unit row `[dim]`, or of hits that have one each, `[h, dim]`.

        What is a small part of most photos that show it ("a jacket") leads less there than what fills them does
        ("snow"), and which it is stands in the question's vector.
        """
        return replace(self, offset=self.offset + rows @ np.asarray(self.kinds, np.float64)) if self.kinds else self

    def to_beat(self, rows: Float32Array) -> Float32Array:
        """Photos' cosines with the rivals of `RANKS`, `[h, len(RANKS)]`, or `[h, 0]` where there are none.

        `rows` `[h, dim]` are the photos' unit rows.
        """
        if self.rivals is None or not len(self.rivals):
            return np.empty((len(rows), 0), np.float32)
        places = [-min(rank, len(self.rivals)) for rank in RANKS]
        cosines: Float32Array = np.partition(rows @ self.rivals.T, places, axis=1)  # (h, dim) @ (dim, r) -> (h, r)
        return cosines[:, places]

    def features(self, scores: Float32Array, to_beat: Float32Array, background: Float32Array) -> FloatArray:
        """The numbers by which hits are judged, `[h, f]`; arguments as for `probabilities`."""
        exact = np.asarray(scores, np.float64)[:, np.newaxis]
        if to_beat.shape[1]:
            return np.concatenate([exact, exact - to_beat], axis=1)
        if not len(background):
            return np.zeros_like(exact)
        middle = float(np.median(background))
        spread = NORMAL * float(np.median(np.abs(background - middle)))
        return (exact - middle) / max(spread, 1e-3)

    def probabilities(self, scores: Float32Array, to_beat: Float32Array, background: Float32Array) -> FloatArray:
        """The probability `[h]` that each hit fits, in 0..1.

        `scores` `[h]` are the question's cosines with the hits, less what they pay for what is taken away; `to_beat`
        is that of the hits; `background` `[m]` the question's cosines with a sample of the library.
        """
        return self.of_features(self.features(scores, to_beat, background))

    def of_features(self, features: FloatArray) -> FloatArray:
        """The probabilities `[h]` of hits with those features `[h, f]`."""
        logits = features @ np.asarray(self.weights, np.float64) + self.offset  # (h, f) @ (f) -> (h)
        chances: FloatArray = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
        return chances

    def is_sure(self, witnesses: Sequence[float] | FloatArray, strictness: str, *, photos: int) -> bool:
        """Whether something fits at all, by the probabilities of the nearest `WITNESSES` of a library of `photos`."""
        if not len(witnesses):
            return False
        more = np.log(min(max(photos, 1), PHOTOS_AT_MOST) / PHOTOS)
        needed = log_odds(self.cuts[strictness].sure) + self.growth * more
        return bool(log_odds(either_fits(np.asarray(witnesses, np.float64))) >= needed)


def either_fits(chances: FloatArray) -> FloatArray:
    """The probability that one of the two most probable fits, over the last axis, if they were independent.

    >>> float(either_fits(np.array([0.1, 0.5, 0.6])))
    0.8
    """
    two = np.sort(chances, axis=-1)[..., -2:]
    fits: FloatArray = 1 - np.prod(1 - two, axis=-1)
    return fits


def log_odds(chance: float | FloatArray) -> FloatArray:
    """`log(p / (1 - p))`, finite for 0 and 1."""
    inside = np.clip(chance, 1e-9, 1 - 1e-9)
    odds: FloatArray = np.log(inside / (1 - inside))
    return odds


# For encoders that nobody has calibrated. A lead of 0 is a half, and 0.05 more is three quarters: by 30 everyday labels
# and the captions of Flickr8k's val photos, of what is given 55, 65, 75, 85, 92 and 97 %, right are 63, 72, 81, 84, 93
# and 100 %. Standing out: the weight that the third shipped encoder's got when it could see nothing else.
BY_LEAD = Judge(
    weights=(0.0, 20.0, 0.0),
    offset=0.0,
    cuts={"loosely": Cut(0.35, 0.35), "normally": Cut(0.5, 0.5), "strictly": Cut(0.7, 0.7)},
)
BY_STANDING_OUT = Judge(
    weights=(1.37,),
    offset=-5.35,
    cuts={"loosely": Cut(0.25, 0.25), "normally": Cut(0.46, 0.46), "strictly": Cut(0.7, 0.7)},
)


def judge_for(
    checksum: str, rivals: Float32Array | None, *, asked: str = CALIBRATED[0], wanted: str = CALIBRATED[1]
) -> Judge:
    """The judge that was calibrated for the encoder with that checksum, or one for encoders in general.

    `rivals` `[r, dim]` are the vectors of everyday words, if they are known; `asked` is the tower of all terms of the
    question, "" if they differ; `wanted` that of the hits.
    """
    if rivals is None or (asked, wanted) != CALIBRATED:
        return BY_STANDING_OUT
    known = _table(table_path()).get(checksum)
    judge = from_plain(known["judge"]) if known else BY_LEAD
    return replace(judge, rivals=rivals)


def table_path() -> Path:
    """The calibrations by encoder checksum, beside the models."""
    return shipped("models", "relevance.json")


@cache
def _table(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def from_plain(values: Mapping[str, Any]) -> Judge:
    """A judge from the plain data that `as_plain` makes of one; raises KeyError if something is missing."""
    cuts = {strictness: Cut(*map(float, values["cuts"][strictness])) for strictness in STRICTNESS}
    weights, kinds = (tuple(map(float, values[name])) for name in ("weights", "kinds"))
    return Judge(weights, float(values["offset"]), cuts, float(values["growth"]), kinds)


def as_plain(judge: Judge) -> dict[str, Any]:
    """A judge as plain data, without its rivals."""
    cuts = {strictness: list(cut) for strictness, cut in judge.cuts.items()}
    numbers = {"weights": list(judge.weights), "offset": float(judge.offset), "growth": judge.growth}
    return numbers | {"cuts": cuts, "kinds": [round(one, 4) for one in judge.kinds]}

"""Whether a hit fits its query at all: a probability for each hit, and a cut that falls elsewhere for every query.

A cosine alone does not tell: the same 0.4 is much for one query and nothing for another, and how much differs from
library to library. So a hit is judged by two numbers: its cosine, and the same cosine seen against the query's own
background, its cosines with what else the library holds. Logistic regression on people's judgements weighs the two;
the weights belong to one encoder and stand, with the figures that chose them, in `data/models/relevance.json`, which
`python -m evaluation relevance --fit` writes. Where nobody has calibrated, the background alone decides.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.items import Float32Array
from indexer.shipped import shipped

FloatArray = npt.NDArray[np.float64]

# What a sentence and a photo are to each other is what people judged; other pairs are not calibrated.
CALIBRATED = ("text", "image")

# Of a normal distribution, the standard deviation is so many times the median distance from the median.
NORMAL = 1.4826

# Vectors from which a library knows its own background as well as it knows the one of the calibration.
TRUSTED_FROM = 20


@dataclass(frozen=True, slots=True)
class Background:
    """A query's cosines with what a library holds: their median, and their spread as a standard deviation.

    Median and median distance, because what fits is among them and must not move them.
    """

    middle: float
    spread: float

    @classmethod
    def of(cls, scores: Float32Array) -> Background:
        """The background that the cosines `[n]` of a query with a sample of the library show; n is at least 1."""
        middle = float(np.median(scores))
        return cls(middle, NORMAL * float(np.median(np.abs(scores - middle))))


@dataclass(frozen=True, slots=True)
class Usual:
    """The background of queries in general, seen when the encoder was calibrated: what a small library goes by.

    `middle` and `spread` are the mean over queries, `varies` is the standard deviation of the middle among them.
    """

    middle: float
    spread: float
    varies: float

    def tempered(self, seen: Background, count: int) -> Background:
        """What `count` cosines have shown, drawn to the usual the more the fewer they are.

        However many there are, the middle is not believed to lie further than twice `varies` above the usual: in a
        folder of nothing but dogs "a dog" fits every photo, and the middle is no background.
        """
        weight = count / (count + TRUSTED_FROM)
        middle = weight * min(seen.middle, self.middle + 2 * self.varies) + (1 - weight) * self.middle
        return Background(middle, weight * seen.spread + (1 - weight) * self.spread)


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns cosines into probabilities of fitting: logistic in the cosine and the standardised cosine.

    A hit fits from the probability `cut` on. The defaults are for an encoder that nobody has calibrated and look at
    the standardised cosine alone: the weights that the shipped encoder gets when it may see nothing else, and the
    cut that is best for those (3.8 standard deviations above the middle).
    """

    cosine: float = 0.0
    standardised: float = 1.37
    offset: float = -5.35
    cut: float = 0.46
    usual: Usual | None = None

    def features(self, scores: Float32Array, background: Float32Array) -> FloatArray:
        """The two numbers by which hits are judged, `[h, 2]`: the cosines `[h]`, and these standardised.

        `background` `[m]` are the query's cosines with a random sample of the library.
        """
        seen = Background.of(background)
        if self.usual is not None:
            seen = self.usual.tempered(seen, len(background))
        exact = np.asarray(scores, np.float64)
        return np.stack([exact, (exact - seen.middle) / max(seen.spread, 1e-3)], axis=1)

    def of_features(self, features: FloatArray) -> FloatArray:
        """The probabilities `[h]` of hits with those features `[h, 2]`."""
        logits = features @ np.array([self.cosine, self.standardised]) + self.offset  # (h, 2) @ (2) -> (h)
        chances: FloatArray = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
        return chances

    def probabilities(self, scores: Float32Array, background: Float32Array) -> FloatArray:
        """The probability `[h]` that each hit fits, in 0..1; arguments as for `features`.

        What fits is what has at least the probability `cut`; where the background is empty, nothing does.
        """
        return self.of_features(self.features(scores, background)) if len(background) else np.zeros(len(scores))


def judge_for(checksum: str, *, asked: str = "text", wanted: str = "image") -> Judge:
    """The judge that was calibrated for the encoder with that checksum, or the one for encoders in general.

    `asked` is the modality that all terms of the query have, "" if they differ; `wanted` that of the hits.
    """
    calibrated = _table(table_path()).get(checksum) if (asked, wanted) == CALIBRATED else None
    return from_plain(calibrated["judge"]) if calibrated else Judge()


def table_path() -> Path:
    """The calibrations by encoder checksum, beside the models."""
    return shipped("models", "relevance.json")


@cache
def _table(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def from_plain(values: dict[str, Any]) -> Judge:
    """A judge from the plain data that `dataclasses.asdict` makes of one; raises KeyError if something is missing."""
    usual = values["usual"]
    given = {field.name: float(values[field.name]) for field in fields(Judge) if field.name != "usual"}
    return Judge(**given, usual=None if usual is None else Usual(**usual))

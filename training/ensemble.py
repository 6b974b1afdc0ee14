"""Choose the weights of an ensemble on validation photos, and print the name that `--model` takes.

    python -m training ensemble embedded embedded:OUT/cca --data DATA

Nothing is written: an ensemble is its name. The cosine of joined vectors is the weighted mean of the members' cosines,
so that one pass over the photos is enough to try every weighting.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise
from math import comb
from pathlib import Path

import numpy as np

from evaluation.datasets import DataError, embed_photos
from indexer.encoders import Encoder, load_encoder
from indexer.encoders.ensemble import Member, name_of
from indexer.items import Float32Array
from training.data import captioned
from training.settings import DataSource
from training.validation import in_words, mean_recall, recalls, said

# Weightings tried at most: a tenth of a second each with a thousand photos and their captions.
MOST = 2000


@dataclass(frozen=True)
class Weighing:
    """What each member counts, in parts that sum to 1, and the recalls of the ensemble."""

    weights: tuple[float, ...]
    recalls: dict[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m training ensemble`."""
    parser.add_argument("members", nargs="+", metavar="ENCODER", help="at least two, as for `descry index --model`")
    parser.add_argument("--data", type=Path, required=True, help="the folder that --captions starts from")
    parser.add_argument("--captions", default="flickr8k/captions.jsonl", help="photos with captions, below --data")
    parser.add_argument("--split", default="val", help="the photos that choose; never those to be reported on")
    parser.add_argument("--steps", type=int, default=20, help="into so many parts the whole weight is divided")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps ...")


def run(options: argparse.Namespace) -> None:
    """Prints what each member is worth alone, and the best ensemble's name. Raises `DescryError`."""
    members, steps = options.members, options.steps
    if len(members) < 2 or steps < 2 or comb(steps + len(members) - 1, len(members) - 1) > MOST:
        raise DataError("An ensemble needs two members, and some steps (--steps) that are not too many for them.")
    encoders = [load_encoder(name, device=options.device) for name in members]
    examples = captioned(DataSource(options.captions, split=options.split), options.data)
    captions, owners = said(examples)
    cosines = [encoder.embed("text", captions) @ embed_photos(encoder, examples).T for encoder in encoders]
    weighed = [
        Weighing(weights, recalls(mixed(cosines, weights), owners)) for weights in all_weights(len(members), steps)
    ]
    for weighing in (one for one in weighed if max(one.weights) == 1):
        print(f"{encoders[weighing.weights.index(1)].name}: {in_words(weighing.recalls)}")
    best = max(weighed, key=lambda weighing: mean_recall(weighing.recalls))
    print(f"best: {in_words(best.recalls)}")
    print(name(encoders, best))


def all_weights(members: int, steps: int) -> Iterator[tuple[float, ...]]:
    """Every way to share a whole among members in parts of 1 / steps.

    >>> list(all_weights(2, 2))
    [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)]
    """
    for borders in combinations_with_replacement(range(steps + 1), members - 1):
        yield tuple((stop - start) / steps for start, stop in pairwise((0, *borders, steps)))


def mixed(similarities: Sequence[Float32Array], weights: Sequence[float]) -> Float32Array:
    """The cosines of the ensemble: the weighted mean of its members'."""
    pairs = [(similarity, weight) for similarity, weight in zip(similarities, weights, strict=True) if weight]
    return sum((np.float32(weight) * similarity for similarity, weight in pairs[1:]), pairs[0][1] * pairs[0][0])


def name(encoders: Sequence[Encoder], weighing: Weighing) -> str:
    """The name of the ensemble, members of weight 0 left out; of a single one that is left, its own."""
    kept = [
        Member(encoder.name, round(weight, 4))
        for encoder, weight in zip(encoders, weighing.weights, strict=True)
        if weight
    ]
    return name_of(kept) if len(kept) > 1 else kept[0].name

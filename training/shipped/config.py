"""The TOML file of a training run as frozen data: read and checked before anything is computed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from evaluation.datasets import DataError
from training.augment import Augmentation
from training.loop import Plan
from training.shipped.committee import Rules
from training.shipped.corpus import Source
from training.shipped.objective import Weights
from training.text_model import TextShape

T = TypeVar("T")


@dataclass(frozen=True)
class Stage:
    """One stage of training: its plan, what its losses weigh, what a step sees.

    `captions` sentences a photo, `paraphrases` pairs of sentences, `word_drop` of the words left out, `templates` for
    words; `sizes` of photos, each for an equal part of the steps; `views` of each photo where features are stored;
    `shares` of a batch where they differ from the sources' own; `memory` for the photos and captions of earlier steps.
    """

    plan: Plan
    weights: Weights
    captions: int
    paraphrases: int
    word_drop: float
    frozen_blocks: int
    sizes: tuple[int, ...]
    views: int
    templates: int
    shares: Mapping[str, float] = field(default_factory=dict)
    memory: int = 0


@dataclass(frozen=True)
class Following:
    """How a tower learns to answer like the committee.

    The ridge of the closed form that it starts from; then the loss is `match` times the angle to the committee's
    answer, and how far the tower's distribution over `others` answers of the other kind, at inverse temperature
    `scale`, is from the committee's.
    """

    plan: Plan
    regularisation: float
    match: float
    scale: float
    others: int


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on beside the data."""

    seed: int
    size: int
    hidden: int
    image_start: str
    text_start: str
    paraphrases: tuple[str, ...]
    words: Path
    text: TextShape
    augmentation: Augmentation
    sources: tuple[Source, ...]
    stages: Mapping[str, Stage]
    blend: Mapping[str, float]
    committee: Rules
    following: Mapping[str, Following]


def read_config(path: Path) -> Config:
    """The configuration in a TOML file. Raises `DataError` naming what is missing or not known."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a configuration ({error}).") from error
    try:
        return Config(
            seed=table["seed"],
            size=table["size"],
            hidden=table["hidden"],
            image_start=table["start"]["image"],
            text_start=table["start"]["text"],
            paraphrases=tuple(table["paraphrases"]["files"]),
            words=path.parent / table["words"],
            text=_made(TextShape, table["text"], path),
            augmentation=_made(Augmentation, table["augmentation"], path),
            sources=tuple(_made(Source, source, path) for source in table["source"]),
            stages={name: _stage(stage, path) for name, stage in table["stage"].items()},
            blend=table["blend"],
            committee=_made(Rules, table["committee"], path),
            following={name: _following(one, path) for name, one in table["follow"].items()},
        )
    except KeyError as error:
        raise DataError(f"{path}: {error} is missing.") from error


def _stage(table: dict[str, Any], path: Path) -> Stage:
    plan = _made(Plan, table["plan"], path)
    weights = _made(Weights, table["weights"], path)
    rest = {name: value for name, value in table.items() if name not in ("plan", "weights")}
    return _made(Stage, rest | {"plan": plan, "weights": weights}, path)


def _following(table: dict[str, Any], path: Path) -> Following:
    return _made(Following, table | {"plan": _made(Plan, table["plan"], path)}, path)


def _made(kind: type[T], table: Mapping[str, Any], path: Path) -> T:
    """A dataclass from a table; a misspelt or missing name is an error, not a silent default."""
    unknown = set(table) - {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise DataError(f"{path}: {kind.__name__} has no {', '.join(sorted(unknown))}.")
    try:
        return kind(**table)
    except TypeError as error:
        raise DataError(f"{path}: {error}.") from error

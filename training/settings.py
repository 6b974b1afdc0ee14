"""What a training run depends on, as frozen data from TOML: read, completed and checked before anything is computed.

The defaults stand with their reasons in `configs/contrastive.toml`; `configs/finetune.toml` and `configs/distill.toml`
say what is different there, and a user's file what is different for them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from evaluation.datasets import READERS, DataError

T = TypeVar("T")
CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True, slots=True)
class DataSource:
    """Photos and sentences to read: a path below the data folder, one of `READERS`, and which split of it.

    Where the photos of a set belong to no split, "val" is the first of each ten and "train" are the others.
    """

    path: str
    reader: str = "captions_jsonl"
    split: str = "train"


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model, from which weights ("own" or "random"), and how much of each tower learns.

    `image` and `text` are "all", "none" or the number of groups of layers, counted from the output, that learn.
    """

    name: str
    weights: str
    image: int | str
    text: int | str


@dataclass(frozen=True, slots=True)
class Learning:
    """How long, how fast and in what portions is learned; `chunk` photos at a time go through a tower."""

    epochs: int
    batch: int
    chunk: int
    captions: int
    image_rate: float
    text_rate: float
    objective_rate: float
    weight_decay: float
    warm_up: float
    clip: float
    average: float
    checks: float
    patience: int
    precision: str
    workers: int
    megabytes: int


@dataclass(frozen=True, slots=True)
class Contrast:
    """The contrastive loss: "infonce" or "sigmoid", and the bound of the learned inverse temperature."""

    loss: str
    sharpest: float


@dataclass(frozen=True, slots=True)
class Adapters:
    """Low-rank adapters: their rank (0: none) and what their product is multiplied by, times 1 / rank."""

    rank: int
    scale: float


@dataclass(frozen=True, slots=True)
class Line:
    """How many points of the line between the weights before and after are measured; 0: none, the end is taken."""

    points: int


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far a photo may be changed.

    `smallest` is the least part of the area that a crop keeps: captions speak of the whole photo, so crops stay
    large. `stretch` bounds the change of aspect ratio: photos of every shape are squashed to a square when served.
    `grey`, `blur` are probabilities, `light` the largest relative change of brightness and contrast.
    """

    smallest: float = 0.5
    stretch: float = 1.35
    light: float = 0.25
    grey: float = 0.1
    blur: float = 0.1


@dataclass(frozen=True, slots=True)
class Teaching:
    """A teacher and what is learned from it.

    `encoder` is an encoder's name, `classifier` a file of weights over that encoder's photo vectors with its class
    names in `classes`; `alpha` is the teacher's part of the loss; `temperature` softens both sides, `scale` is the
    teacher's inverse temperature; `similarities`, `features` and `names` weigh what is copied.
    """

    encoder: str
    classifier: str
    classes: str
    alpha: float
    temperature: float
    scale: float
    similarities: float
    features: float
    names: float
    names_a_step: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a run depends on beside the data and the starting weights."""

    seed: int
    augment: bool
    templates: tuple[str, ...]
    model: ModelChoice
    learning: Learning
    contrast: Contrast
    adapters: Adapters
    line: Line
    teacher: Teaching
    augmentation: Augmentation
    train: tuple[DataSource, ...]
    validation: tuple[DataSource, ...]


def read_settings(path: Path, *, command: str) -> Settings:
    """The settings of a command, with a user's file on top. Raises `DataError` for what is missing or wrong."""
    table: dict[str, Any] = {}
    for layer in dict.fromkeys((CONFIGS / "contrastive.toml", CONFIGS / f"{command}.toml", path)):
        table = _laid_over(table, read_toml(layer))
    settings = made(Settings, table, path)
    _check(settings, path)
    if command == "distill" and not settings.teacher.encoder:
        raise DataError(f"{path}: teacher.encoder names no teacher; give the name of an encoder.")
    return settings


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises `DataError` naming what is wrong with it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a configuration ({error}).") from error


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are completed entry by entry; everything else, lists too, is replaced."""

    def value(name: str) -> Any:
        under, over = below.get(name), above.get(name, below.get(name))
        return _laid_over(under, over) if isinstance(under, dict) and isinstance(over, dict) else over

    return {name: value(name) for name in {**below, **above}}


def made(kind: type[T], table: object, path: Path, name: str = "") -> T:
    """A dataclass from a table; what is misspelt, missing or of another type is an error that names it."""
    if not isinstance(table, dict):
        raise DataError(f"{path}: [{name}] should be a table.")
    hints = get_type_hints(kind)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(table) - known):
        raise DataError(f"{path}: {_place(name, unknown[0])} is not known; there are {', '.join(sorted(known))}.")
    values = {key: _value(hints[key], value, path, _place(name, key)) for key, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        missing = [one.name for one in fields(kind) if one.name not in table and one.default is MISSING]  # type: ignore[arg-type]
        raise DataError(f"{path}: {_place(name, min(missing))} is missing.") from error


def _place(table: str, name: str) -> str:
    return f"{table}.{name}" if table else name


def _value(kind: Any, value: object, path: Path, name: str) -> Any:
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise DataError(f"{path}: {name} should be a list.")
        return tuple(_value(get_args(kind)[0], one, path, name) for one in value)
    if get_origin(kind) is Mapping:
        if not isinstance(value, dict):
            raise DataError(f"{path}: [{name}] should be a table.")
        return {key: _value(get_args(kind)[1], one, path, _place(name, key)) for key, one in value.items()}
    if hasattr(kind, "__dataclass_fields__"):
        return made(kind, value, path, name)
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if type(value) is int and float in kinds:
        return float(value)
    if type(value) not in kinds:
        raise DataError(f"{path}: {name} = {value!r} should be {' or '.join(one.__name__ for one in kinds)}.")
    return value


def _check(settings: Settings, path: Path) -> None:
    """Raises `DataError` for values that no run can have."""
    learning, teacher, model = settings.learning, settings.teacher, settings.model
    conditions = {
        "train: no data is named; add a [[train]] table": settings.train,
        "validation: no data is named; add a [[validation]] table, without it nothing is known of the result": (
            settings.validation
        ),
        "learning.batch should be at least 2: the other pairs are what a pair is told apart from": learning.batch > 1,
        "learning.epochs and learning.captions should be at least 1": min(learning.epochs, learning.captions) > 0,
        "learning.chunk should be 0 (the whole batch) or more": learning.chunk >= 0,
        "learning.checks, validations an epoch, should be more than 0": learning.checks > 0,
        "learning.average should lie between 0 and 1": 0 <= learning.average < 1,
        "learning.precision should be auto, float32 or bfloat16": learning.precision in ("auto", "float32", "bfloat16"),
        "contrast.loss should be infonce or sigmoid": settings.contrast.loss in ("infonce", "sigmoid"),
        "model.weights should be own or random": model.weights in ("own", "random"),
        "model.image and model.text should be all, none or a number of groups of layers": all(
            free in ("all", "none") if isinstance(free, str) else free >= 0 for free in (model.image, model.text)
        ),
        "templates should hold {} where the name goes": all("{}" in one for one in settings.templates),
        "adapters.rank should be 0 (none) or more": settings.adapters.rank >= 0,
        "line.points should be 0 (none) or at least 2": settings.line.points == 0 or settings.line.points > 1,
        "teacher.alpha should lie between 0 and 1": 0 <= teacher.alpha <= 1,
        "teacher.temperature should be more than 0": teacher.temperature > 0,
        "teacher.classifier and teacher.classes belong together": bool(teacher.classifier) == bool(teacher.classes),
    }
    if wrong := [sentence for sentence, holds in conditions.items() if not holds]:
        raise DataError(f"{path}: {wrong[0]}.")
    check_readers((*settings.train, *settings.validation), path)


def check_readers(sources: Iterable[Any], path: Path) -> None:
    """Raises `DataError` for the first source whose `reader` is none of `READERS`."""
    for source in sources:
        if source.reader not in READERS:
            raise DataError(f"{path}: no reader is called {source.reader!r}; there are {', '.join(READERS)}.")

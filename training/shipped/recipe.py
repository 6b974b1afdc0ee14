"""The recipe of the shipped encoder as frozen data: read and checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from training.loop import Plan
from training.settings import Augmentation, check_readers, made, read_toml


@dataclass(frozen=True, slots=True)
class Source:
    """One data set: where it is below the data folder, how it is read, how large its photos are kept.

    `side` is what the files hold, so that nothing is lost and nothing invented; `share` is its part of a batch; of
    each `held_out` photos in the order of the file the first is never learned from (0: all are).
    """

    name: str
    path: str
    reader: str
    side: int
    share: float
    held_out: int = 0


@dataclass(frozen=True, slots=True)
class Heads:
    """Widths: of the hidden layer behind the image trunk, of that behind the sentence's vector, of the space."""

    image: int
    text: int
    dimension: int


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of contrastive learning.

    `captions` sentences a photo and step; `wrong_captions` of other photos and `wrong_photos` of earlier steps are
    further wrong answers; `names` weighs what the ImageNet classifier says. Where the trunk learns, `frozen` blocks of
    it do not, and photos have each of `sizes` for an equal part of the steps. It runs as often as `runs` has numbers,
    which say what the weights of each run count in their mean (Wortsman et al., 2022, "Model soups"). `noise` is
    relative, on stored features.
    """

    plan: Plan
    captions: int
    wrong_captions: int
    wrong_photos: int = 0
    names: float = 0.0
    frozen: int = 0
    runs: tuple[float, ...] = (1.0,)
    sizes: tuple[int, ...] = ()
    noise: float = 0.0


@dataclass(frozen=True, slots=True)
class Join:
    """How contrastive heads and canonical correlations become one answer, and what the heads are taught of it.

    `learned` is what the contrastive heads count beside the correlations, whose `regularisation` and `power` are those
    of `closed_form`; `labels` is what a name of a class counts beside a caption. `flatten` is the power of a
    direction's variance that it is divided by; `neighbours`, `against` and `room` are those of `csls`.
    The loss is `match` times the angle to the answer, how far the distribution over `others` answers of the other kind,
    at inverse temperature `scale`, is from the answer's, and `names` times the choice among the
    labels of each set, the classifier's classes and everyday words, a mean over all of them.
    """

    plan: Plan
    learned: float
    regularisation: float
    power: float
    labels: float
    flatten: float
    neighbours: int
    against: float
    room: float
    match: float
    scale: float
    others: int
    names: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a run depends on beside the data and the starting points.

    `image` and `text` are folders below that of the models, `everyday` a file beside the recipe;
    `measured` are the captioned sources on whose held-out photos recall is measured on the way.
    """

    seed: int
    size: int
    image: str
    text: str
    everyday: str
    templates: tuple[str, ...]
    measured: tuple[str, ...]
    heads: Heads
    augmentation: Augmentation
    source: tuple[Source, ...]
    begin: Stage
    finetune: Stage
    join: Join


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file. Raises `DataError` naming what is missing, misspelt or of another type."""
    recipe = made(Recipe, read_toml(path), path)
    check_readers(recipe.source, path)
    return replace(recipe, everyday=str(path.parent / recipe.everyday))

"""The seam between Descry and its models: an encoder is a name, a dimension and its towers.

Whatever brings an object with the methods of `Tower` can be searched: a new model family is one file beside this one
and one row in `SCHEMES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from indexer.errors import EncoderUnavailable
from indexer.items import Float32Array


class Tower(Protocol):
    """Embeds one kind of value: pictures (`PIL.Image.Image`) or sentences (`str`)."""

    def fits(self, value: Any) -> bool:
        """Whether the tower sees all of `value`; a text tower's context is finite, a picture always fits."""
        ...

    def prepare(self, value: Any) -> npt.NDArray[Any]:
        """One value as the array that `embed` takes. Runs on loader threads, several at once."""
        ...

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """A batch of prepared values as `[n, dim]` float32 unit rows, on the device. May run on two threads at once."""
        ...


class PictureTower:
    """What towers of pictures share: any picture fits, and a recipe makes a square of it."""

    recipe: Any

    def fits(self, value: Any) -> bool:  # noqa: ARG002  a tower of texts looks at it
        """True: a picture is seen as the recipe squashes or cuts it."""
        return True

    def prepare(self, value: Any) -> npt.NDArray[np.uint8]:
        """A picture (`PIL.Image.Image`) as `[3, size, size]` uint8."""
        prepared: npt.NDArray[np.uint8] = self.recipe.prepare(value)
        return prepared


class Regions(NamedTuple):
    """What a tower sees where: `rows` are the unit rows `[h, w, dim]` of a grid of cells laid over a picture.

    `box` is what the grid covers, (left, top, right, bottom) in pixels of the upright picture, whose edges it may
    overlap.
    """

    rows: Float32Array
    box: tuple[float, float, float, float]


@runtime_checkable
class SeeingTower(Tower, Protocol):
    """A tower that can also say what it sees where."""

    def regions(self, value: Any) -> Regions:
        """What is in the parts of one picture. Raises `EncoderUnavailable` for a model that keeps no places apart."""
        ...


@dataclass(frozen=True)
class Encoder:
    """A named set of towers that share one vector space.

    `checksum` tells two sets of weights of one name apart. `makers` builds a tower, by its name, when it is first asked
    for, so that a search by sentence never loads the image tower. `store_text` writes a text tower that is heavy to
    load to a folder, in the form that `encoders.load_text_tower` opens without torch; None where that is not needed or
    possible. `light` are makers of towers that give the same vectors, are loaded sooner and embed a batch slower.
    """

    name: str
    dimension: int
    checksum: str
    makers: Mapping[str, Callable[[], Tower]]
    store_text: Callable[[Path], None] | None = None
    light: Mapping[str, Callable[[], Tower]] = field(default_factory=dict)
    _made: dict[str, Tower] = field(default_factory=dict, init=False, repr=False, compare=False)
    # loader threads ask for a tower all at once; two that are made at once spoil the weights that they share
    _making: RLock = field(default_factory=RLock, init=False, repr=False, compare=False)

    @property
    def towers(self) -> tuple[str, ...]:
        """The names of the towers that this encoder has; see `Modality.tower`."""
        return tuple(self.makers)

    def for_asking(self) -> Encoder:
        """The same encoder, made of its light towers where it has some: for a query's few values, not for indexing."""
        return replace(self, makers={**self.makers, **self.light}) if self.light else self

    def tower(self, name: str) -> Tower:
        """The tower of that name, built on first use. Raises `EncoderUnavailable` if there is none."""
        if name not in self.makers:
            raise EncoderUnavailable(f"The encoder {self.name} has no tower for {name}.")
        with self._making:
            if name not in self._made:
                self._made[name] = self.makers[name]()
        return self._made[name]

    def embed(self, tower_name: str, values: Sequence[Any]) -> Float32Array:
        """Values of one tower as `[n, dim]` float32 unit rows."""
        tower = self.tower(tower_name)
        return tower.embed([tower.prepare(value) for value in values])


def unit_rows(rows: npt.NDArray[Any]) -> Float32Array:
    """Rows scaled to length one, float32; a zero row stays zero instead of turning into NaN."""
    rows = np.asarray(rows, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    unit: Float32Array = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit

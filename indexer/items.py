"""What flows through Descry: a source is a file, an item one findable thing in it, vectors are items as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]

# What may be found: the ids, or what a library on a server makes of a condition.
Allowed = Any


class Source(NamedTuple):
    """A file as the folder walk saw it; size and mtime decide whether it is unchanged.

    `facts_version` decides whether its facts are: it names the version of their reader and the state of `sidecars`,
    the files beside it that tell about it. `reader` names what reads it, where its root's settings say so.
    """

    path: Path
    modality: str
    size: int
    mtime_ns: int
    facts_version: str = ""
    sidecars: tuple[Path, ...] = ()
    reader: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One findable thing: a photo, a passage, a caption.

    `part` is "" for the whole file, "p3" for its third passage, "c2" for its second caption.
    `text` is what a text item says and "" for a photo. `facts` holds what is known beside the
    content, by the names of the modality (a photo's width, taken, camera...; a caption's photo).
    `id` is the catalog's and None until the item is stored.
    """

    modality: str
    path: Path
    part: str = ""
    text: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of items: `ids` `[n]` int64, `rows` `[n, dim]` float32, unit rows in the order of `ids`."""

    ids: Int64Array
    rows: Float32Array

    def __len__(self) -> int:
        return len(self.ids)


def evenly_spaced(total: int, count: int) -> Int64Array:
    """`count` places among `total`, evenly spread, or all if there are fewer: a sample that is always the same."""
    return np.linspace(0, total - 1, min(count, total), dtype=np.int64)


def batches(values: Iterable[T], size: int, *, weight: Callable[[T], int] = lambda _: 1) -> Iterator[list[T]]:
    """The values in lists, each as long as it takes to weigh `size` together; the last may weigh less.

    >>> [*batches("abcde", 2)], [*batches(["a", "bcd", "e"], 3, weight=len)]
    ([['a', 'b'], ['c', 'd'], ['e']], [['a', 'bcd'], ['e']])
    """
    batch: list[T] = []
    weighs = 0
    for value in values:
        batch.append(value)
        weighs += weight(value)
        if weighs >= size:
            yield batch
            batch, weighs = [], 0
    if batch:
        yield batch

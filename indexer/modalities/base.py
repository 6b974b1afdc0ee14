"""What a modality is: the suffixes that it reads, and how such a file becomes items."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from numpy.typing import NDArray

from indexer.items import Item

if TYPE_CHECKING:
    from PIL import Image


class ReadOptions(NamedTuple):
    """What reading a file depends on beside the file: whether a value fits the tower's context.

    `content` are the bytes of a file of a modality that `is_whole`, if they were read already; `sidecars` are the
    files that tell about it. `note` is told what is amiss with a file that is read all the same. `reader` is
    `Source.reader`.
    """

    fits: Callable[[Any], bool]
    content: bytes | None = None
    sidecars: Sequence[Path] = ()
    note: Callable[[str], None] = lambda _: None
    reader: str = ""


class Reader(Protocol):
    """A model by which files are read; `name` is the same wherever it is asked for from, and is remembered."""

    name: str


def _none(_names: Collection[str]) -> Mapping[str, Collection[str]]:
    return {}


@dataclass(frozen=True, slots=True)
class Modality:
    """A kind of thing. `read` yields a file's items, each with the value that `prepare` of the encoder's `tower` takes.

    `read` is a generator, so that a file of a million captions never stands in memory whole. It raises
    `SourceError` for a file that it cannot make sense of. What a file means may depend on the files of the
    same stem `beside` it that are of other modalities: it is read again when one of those comes or goes.
    `is_whole` says that it reads a file into memory as a whole. `facts_version` changes when `read` tells more facts
    of the same file: unchanged files are then read again, but not embedded. `sidecars` tells which of a folder's names
    are sidecar files, each with the names of the files that it tells about; they are no items of any modality.

    Of consecutive items whose vectors have a cosine of `same_item` or more, only the first is kept. `open_image` shows
    one of a file's parts, given its name; None where parts are no images. `at_once` items of one file are prepared
    together: it bounds what a file of a million captions takes.

    `facts` are those of all of a file's items, where that takes less than reading it: a copy of a known file then has
    the items of that, with its own facts, or none where these are None. A modality with `load` is read only below roots
    whose settings name a `reader`, also beside another modality of the same suffixes; `load` gets that reader ready,
    which may take longer than a file may, and raises `EncoderUnavailable`. Items whose texts that reader still has to
    write are read with images for values, and `write` gives the texts of many at once before they are embedded, of
    arrays `[height, width, 3]`; an item for which it has none ("") is left out.
    """

    name: str
    tower: str
    suffixes: frozenset[str]
    read: Callable[[Path, ReadOptions], Iterator[tuple[Item, Any]]]
    beside: frozenset[str] = frozenset()
    is_whole: bool = False
    facts_version: str = ""
    sidecars: Callable[[Collection[str]], Mapping[str, Collection[str]]] = _none
    same_item: float | None = None
    open_image: Callable[[Path, str], Image.Image] | None = None
    at_once: int = 256
    facts: Callable[[Path, ReadOptions], Mapping[str, Any] | None] | None = None
    load: Callable[[str], Reader] | None = None
    write: Callable[[str, Sequence[NDArray[Any]]], Sequence[str]] | None = None

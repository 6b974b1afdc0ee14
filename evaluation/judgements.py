"""People's judgements of whether a caption fits a photo: the expert and crowd annotations of Flickr8k.

Hodosh, Young and Hockenmaier: Framing Image Description as a Ranking Task, JAIR 47 (2013). Both are about the photos
and the captions of Flickr8k's *test* split. A caption goes by its photo and its number, `name.jpg#2`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.datasets import DataError, Example
from evaluation.metrics import FloatArray
from indexer.items import Int64Array


@dataclass(frozen=True)
class Judgements:
    """Judged pairs: `photo` `[n]` and `caption` `[n]` are places, `said` `[n, raters]` what each person said.

    `fits` `[n]` is whether they found the caption to fit, as `READ` tells; `own` `[n]` whether it was written for
    this very photo.
    """

    name: str
    photo: Int64Array
    caption: Int64Array
    said: FloatArray
    fits: np.ndarray
    own: np.ndarray


def _expert(columns: Sequence[str]) -> tuple[list[float], bool]:
    """Three experts, 1 to 4; it fits if they say 3 in the mean, "almost describes the image with minor mistakes"."""
    said = [float(columns[place]) for place in range(3)]
    return said, sum(said) >= 3 * 3


def _crowd(columns: Sequence[str]) -> tuple[list[float], bool]:
    """The part of the crowd that said yes; it fits if that is more than half."""
    said = float(columns[0])
    return [said], said > 0.5


READ: dict[str, tuple[str, Callable[[Sequence[str]], tuple[list[float], bool]]]] = {
    "expert": ("ExpertAnnotations.txt.gz", _expert),
    "crowd": ("CrowdFlowerAnnotations.txt.gz", _crowd),
}


def read_judgements(folder: Path, who: str, examples: Sequence[Example]) -> Judgements:
    """The judgements of "expert" or "crowd" on the captions and photos of the examples, in their order.

    A caption's place counts through the captions of all examples. Raises `DataError`.
    """
    file, read = READ[who]
    photos = {example.photo.name: place for place, example in enumerate(examples) if isinstance(example.photo, Path)}
    first = np.cumsum([0, *(len(example.captions) for example in examples)])
    rows = []
    for number, line in enumerate(_lines(folder / file), start=1):
        try:
            photo, caption, *columns = line.split()
            source, _, which = caption.partition("#")
            if photo in photos and source in photos:
                rows.append((photos[photo], first[photos[source]] + int(which), *read(columns), photo == source))
        except (ValueError, IndexError) as error:
            raise DataError(f"{folder / file}:{number}: not a photo, a caption and its judgements.") from error
    if not rows:
        raise DataError(f"{folder / file}: judges none of the photos at hand; it is about Flickr8k's test split.")
    photo_places, captions, said, fits, own = (np.array(column) for column in zip(*rows, strict=True))
    return Judgements(who, photo_places.astype(np.int64), captions.astype(np.int64), said, fits, own)


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from file
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); it comes with Flickr8k's text files.") from error

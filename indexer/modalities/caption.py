"""Captions: a sentence for each photo, by a model, below roots for which that is wished.

Like a caption that somebody wrote, it names its photo: its words find the photo, and it is shown beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt
from PIL import Image

from indexer.items import Item
from indexer.modalities import image
from indexer.modalities.base import Modality, Reader, ReadOptions
from indexer.photos.facts import FACTS_VERSION
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from indexer.photos.suffixes import SUFFIXES

PART = "caption"

# Pixels of a photo's shorter side at most: BLIP looks at 384, CoCa at 224.
SIDE = 384

# scheme of a model's name -> the module whose `load_captioner(name)` answers for it, imported when it is asked for.
CAPTIONERS = {"": "indexer.encoders.blip", "open_clip": "indexer.encoders.coca"}


class Captioner(Reader, Protocol):
    """What says what photos show."""

    def __call__(self, photos: Sequence[Image.Image]) -> list[str]:
        """A sentence about each of some upright RGB photos, "" for none; several threads may ask."""


@lru_cache(1)
def load_captioner(name: str) -> Captioner:
    """The captioner of a BLIP model, a folder or a name on the hub, or of one of open_clip's, `open_clip:...`.

    Raises `EncoderUnavailable` and `UnknownEncoder`, naming what is missing.
    """
    scheme, colon, _ = name.partition(":")
    module = CAPTIONERS[scheme if colon and scheme in CAPTIONERS else ""]
    captioner: Captioner = import_module(module).load_captioner(name)
    return captioner


def read(path: Path, options: ReadOptions) -> Iterator[tuple[Item, Image.Image]]:
    """The photo as its one item, which a captioner is still to write."""
    photo = open_photo(path)
    told = image.facts(photo, options) | {"photo": path.name}
    yield Item("caption", path, PART, facts=told), upright_rgb(photo, side=SIDE)


def facts(path: Path, options: ReadOptions) -> dict[str, Any]:
    """The photo's facts, and its name."""
    return image.facts(open_photo(path), options) | {"photo": path.name}


def write(reader: str, photos: Sequence[npt.NDArray[Any]]) -> list[str]:
    """The captioner's sentences about photos `[height, width, 3]` uint8."""
    return load_captioner(reader)([Image.fromarray(photo) for photo in photos])


CAPTION = Modality(
    "caption", "text", SUFFIXES, read, facts_version=FACTS_VERSION, facts=facts, load=load_captioner, write=write
)

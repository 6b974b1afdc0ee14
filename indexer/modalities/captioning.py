"""Captions: a sentence for each photo, by BLIP, an extra, below roots for which that is wished.

Like a caption that somebody wrote, it names its photo: its words find the photo, and it is shown beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from indexer.encoders.blip import load_captioner
from indexer.items import Item
from indexer.modalities import image
from indexer.modalities.base import Modality, ReadOptions
from indexer.photos.facts import FACTS_VERSION
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from indexer.photos.suffixes import SUFFIXES

PART = "caption"

# Pixels of a photo's shorter side at most: BLIP looks at 384.
SIDE = 384


def read(path: Path, options: ReadOptions) -> Iterator[tuple[Item, str]]:
    """The sentence that a captioner says of the photo, if it says one."""
    told = facts(path, options)
    if sentence := load_captioner(options.reader)(upright_rgb(open_photo(path), side=SIDE)):
        yield Item("caption", path, PART, sentence, told), sentence


def facts(path: Path, options: ReadOptions) -> dict[str, Any]:
    """The photo's facts, and its name."""
    return image.facts(open_photo(path), options) | {"photo": path.name}


CAPTION = Modality("caption", "text", SUFFIXES, read, facts_version=FACTS_VERSION, facts=facts, load=load_captioner)

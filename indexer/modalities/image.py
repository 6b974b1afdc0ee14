"""Photos: one item a file, its facts read from the header and from the files beside it that tell about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from indexer.items import Item
from indexer.modalities.base import Modality, ReadOptions
from indexer.photos.facts import FACTS_VERSION, photo_facts
from indexer.photos.opening import open_photo
from indexer.photos.sidecars import sidecar_facts, sidecar_owners
from indexer.photos.suffixes import SUFFIXES as SUFFIXES  # the modality's, for those who ask it
from indexer.places import place_names


def read(path: Path, options: ReadOptions) -> Iterator[tuple[Item, Image.Image]]:
    """The photo at `path` as its one item, its pixels not yet decoded; what it says itself goes before its sidecars."""
    image = open_photo(path, content=options.content)
    told = facts(image, options)
    if told.get("incomplete"):
        options.note("it is incomplete: its last bytes are missing")
    yield Item("image", path, facts=told), image


def facts(image: Image.Image, options: ReadOptions) -> dict[str, Any]:
    """What a photo and its sidecars tell."""
    told = photo_facts(image)
    for sidecar in options.sidecars:
        told = sidecar_facts(sidecar) | told
    return told | place_names(told)


IMAGE = Modality("image", "image", SUFFIXES, read, is_whole=True, facts_version=FACTS_VERSION, sidecars=sidecar_owners)

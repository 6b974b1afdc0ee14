"""Photos: one item a file, its facts read from the header."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from indexer.items import Item
from indexer.modalities.base import Modality, ReadOptions
from indexer.photos.facts import photo_facts
from indexer.photos.opening import open_photo

SUFFIXES = frozenset(
    [
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".avifs"),
        *(".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
        *(".pnm", ".pbm", ".pgm", ".ppm"),
        *(".heic", ".heif", ".hif"),
    ]
)


def read(path: Path, options: ReadOptions) -> Iterator[tuple[Item, Image.Image]]:
    """The photo at `path` as its one item, its pixels not yet decoded."""
    image = open_photo(path, max_pixels=options.max_pixels, content=options.content)
    yield Item("image", path, facts=photo_facts(image)), image


IMAGE = Modality("image", "image", SUFFIXES, read, is_whole=True)

"""Photos: one item a file, its facts read from the header."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from indexer.items import Item
from indexer.modalities.base import Modality, ReadOptions
from indexer.pictures import open_picture, picture_facts

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
    picture = open_picture(path, max_pixels=options.max_pixels, content=options.content)
    yield Item("image", path, facts=picture_facts(picture)), picture


IMAGE = Modality("image", SUFFIXES, read, is_whole=True)

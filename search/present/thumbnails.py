"""Photos made small: upright JPEGs of some kilobytes, for pages that carry their photos within them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

from indexer.errors import SourceError
from indexer.items import Item
from indexer.modalities import open_image
from indexer.photos.opening import source_errors
from indexer.photos.pixels import upright_rgb
from indexer.threads import ahead

# The demo photos at 240 pixels take 8.4, 10.4 and 14.9 kB a piece at 70, 80 and 90; at 70 skies begin to show steps.
QUALITY = 80


def thumbnail(path: Path, size: int, part: str = "") -> bytes | None:
    """The photo or shot as a JPEG whose longer side has `size` pixels at most; None for what cannot be read.

    Upright by its EXIF orientation, transparent parts white; nothing of its EXIF block (place, owner) travels along.
    """
    try:
        with open_image(path, part) as seen:
            pixels = upright_rgb(seen, side=size)
            with source_errors():
                pixels.thumbnail((size, size))
                jpeg = BytesIO()
                pixels.save(jpeg, "JPEG", quality=QUALITY, optimize=True, exif=b"")
    except SourceError:
        return None
    return jpeg.getvalue()


def thumbnails(items: Iterable[Item], size: int) -> Iterator[bytes | None]:
    """The items' thumbnails in order, made by as many threads as there are processors, a bounded number ahead."""
    yield from ahead(lambda item: thumbnail(item.path, size, item.part), items, overdue=lambda _item, _error: None)


def data_uri(jpeg: bytes) -> str:
    """A JPEG as an address that holds the image itself."""
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"

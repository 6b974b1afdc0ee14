"""Photos made small: upright JPEGs of some kilobytes, for pages that carry their pictures within them."""

from __future__ import annotations

import os
from base64 import b64encode
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from indexer.errors import SourceError
from indexer.pictures import open_picture, reasons, upright_rgb

# The demo photos at 240 pixels take 8.4, 10.4 and 14.9 kB a piece at 70, 80 and 90; at 70 skies begin to show steps.
QUALITY = 80

# Photos that the threads may be ahead of the one that is asked for, a thread.
AHEAD = 4


def thumbnail(path: Path, size: int) -> bytes | None:
    """The photo as a JPEG whose longer side has `size` pixels at most; None for what cannot be read as a photo.

    Upright by its EXIF orientation, transparent parts white; nothing of its EXIF block (place, owner) travels along.
    """
    try:
        with open_picture(path) as picture:
            pixels = upright_rgb(picture, side=size)
            with reasons():
                pixels.thumbnail((size, size))
                jpeg = BytesIO()
                pixels.save(jpeg, "JPEG", quality=QUALITY, optimize=True, exif=b"")
    except SourceError:
        return None
    return jpeg.getvalue()


def thumbnails(paths: Iterable[Path], size: int) -> Iterator[bytes | None]:
    """The photos' thumbnails in order, made by as many threads as there are processors, a bounded number ahead."""
    threads = os.cpu_count() or 1
    waiting: deque[Future[bytes | None]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="descry-thumbnails")
    try:
        for path in paths:
            waiting.append(pool.submit(thumbnail, path, size))
            if len(waiting) >= AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def data_uri(jpeg: bytes) -> str:
    """A JPEG as an address that holds the picture itself."""
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"

"""How large photos may be, and the memory that decoding them may take: a budget that all threads of the process share.

What a photo takes depends on its decoder more than on its file: a WebP of 34 bytes may need four gigabytes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from PIL import Image

from indexer.errors import SourceError

# The share of the machine's memory that photos may take, and the least and most that is chosen by itself.
SHARE = 1 / 6
LEAST, MOST = 512 << 20, 4 << 30

# 250 megapixels: above any camera's single exposure (a Hasselblad's multi-shot excepted), below what would take more
# than a gigabyte of memory to decode.
MAX_PIXELS = 250_000_000

# Memory where the system does not tell.
ASSUMED = 8 << 30

# Decoders that take less need not be counted: a photo of 640 x 480, or one of 12 megapixels at a quarter of its scale.
UNCOUNTED = 16 << 20

# Bytes that a pixel takes from the decoder to the square that is embedded. Peaks of photos of 16 megapixels: PNG 10.5
# in RGB, 11.4 in grey and palette, 15.2 with 16 bits, 17.6 with alpha; BMP, PPM and HEIC 10, GIF 11, AVIF 12.5,
# TIFF 13, JPEG XL 13.4, WebP 18, JPEG 2000 19.7. A progressive JPEG has all its coefficients in memory.
BYTES_A_PIXEL = 12
BYTES_OF_FORMAT = {"WEBP": 8, "JPEG2000": 9, "AVIF": 2, "TIFF": 2, "JXL": 2}
BYTES_OF_DEPTH, BYTES_OF_ALPHA = 4, 7
BYTES_A_COEFFICIENT = 2
# Of numbers that are no bytes: the numbers, two copies as float32, and bytes.
COPIES_OF_NUMBERS = 5


class Budget:
    """Bytes that may be taken together, and pixels by one photo. Who needs more than is left waits in turn."""

    def __init__(self, total: int, pixels: int = MAX_PIXELS) -> None:
        self.total, self.pixels = total, pixels
        self._taken = 0
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._mine = threading.local()

    @contextmanager
    def lent(self, size: int) -> Iterator[None]:
        """Holds `size` bytes; a thread that holds some already needs no more. Raises `SourceError` beyond the total."""
        if getattr(self._mine, "holds", False):
            yield
            return
        if size > self.total:
            raise SourceError(
                f"it takes {size / 1e9:.1f} GB of memory to decode, the limit is {self.total / 1e9:.1f}; "
                "--max-memory raises it"
            )
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._taken + size <= self.total)
            self._taken += size
        self._mine.holds = True
        try:
            yield
        finally:
            self._mine.holds = False
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


def machine_memory() -> int:
    """Bytes of memory that this process may hope for: the machine's, or its container's where that is less."""
    sizes = [ASSUMED]
    with suppress(AttributeError, ValueError, OSError):
        sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):  # of control groups, version 2 and 1
        with suppress(OSError, ValueError):
            sizes.append(int(Path("/sys/fs/cgroup", limit).read_text(encoding="utf-8")))
    return min(sizes)


BUDGET = Budget(int(min(max(machine_memory() * SHARE, LEAST), MOST)))


def memory_for(image: Image.Image, scale: int = 1) -> AbstractContextManager[None]:
    """Holds what decoding the image takes at 1/`scale` of width and height. Raises `SourceError` beyond the total."""
    size = needed(image, scale)
    return BUDGET.lent(size) if size > UNCOUNTED else nullcontext()


def needed(image: Image.Image, scale: int = 1) -> int:
    """Bytes that decoding an image and making it a square take, at 1/`scale` of its width and height."""
    pixels = image.width * image.height
    numbers = getattr(image, "bytes_a_pixel", 0)  # of a TIFF that holds no bytes
    held = BYTES_A_PIXEL + BYTES_OF_FORMAT.get(image.format or "", 0) + COPIES_OF_NUMBERS * numbers
    if image.has_transparency_data:
        held += BYTES_OF_ALPHA
    elif image.mode.startswith(("I", "F")):
        held += BYTES_OF_DEPTH
    coefficients = 3 * BYTES_A_COEFFICIENT * pixels if image.info.get("progressive") else 0
    return held * pixels // scale**2 + coefficients

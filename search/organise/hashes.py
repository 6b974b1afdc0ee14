"""Perceptual hashes: whether two files show the same photo, which their vectors alone cannot tell from a similar one.

A vector says what is seen, and two dogs on two lawns may be one point; a perceptual hash says where light and dark lie.
Each photo is hashed whole and with its edges cut off in several ways, so that one that was cropped a little meets the
other's crop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from indexer.atomic import atomic_write
from indexer.errors import SourceError
from indexer.items import Int64Array, Item
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from indexer.report import Watcher
from indexer.threads import ahead

# A photo's hashes, `[1 + crops, bytes]`, the whole photo's first.
Hashes = npt.NDArray[np.uint8]

# Photos are shrunk to squares of this side before they are cropped and hashed: nearly three times what a hash sees.
SIDE = 128

# The share of a photo's sides that is cut off in its crops, and where: all on one side of it, half on each, or all on
# the other, across and down alike.
CROPS = (0.03, 0.06, 0.09)
PLACES = (0.0, 0.5, 1.0)

# The side of a hash: 144 bits. Measured on 80 photos of COCO and Flickr8k and on the 500 likest pairs of Flickr8k,
# bits that differ for a crop by 5 / 10 % (99 of 100 pairs) and between different photos (the 3rd, 5th and 10th
# nearest pair): 64 bits, 5 places of 5 and 10 %: 8 / 12 and 10, 12, 12; the same with 9 places: 8 / 10 and 10, 10, 12;
# 144 bits, 9 places of 3, 6 and 9 %: 16 / 26 and 32, 36, 42. Only the last leaves a gap.
BITS_A_SIDE = 12

# What `hashes_of` gives: the whole photo's hash and the crops', in bytes.
HASHES = (1 + len(CROPS) * len(PLACES) ** 2, BITS_A_SIDE**2 // 8)

# Where a library keeps them, and the form: a mark with the version, a checksum, records. The indexer passes it over.
CACHE = ".photo_hashes"
MARK = b"descry photo hashes 1\n"
SUM = 16
RECORD = np.dtype([("id", "<i8"), ("hashes", "u1", HASHES)])


def hashes_of(path: Path) -> Hashes:
    """The hashes of the photo at `path`, upright. Raises `SourceError` if it cannot be read."""
    image = upright_rgb(open_photo(path), side=SIDE).convert("L")
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2)
    boxes = [(0.0, 0.0, float(SIDE), float(SIDE)), *_crops()]
    return np.stack([np.packbits(imagehash.phash(small.crop(box), BITS_A_SIDE).hash) for box in boxes])


def distances(some: Hashes, others: Hashes) -> Int64Array:
    """Bits in which the nearest two hashes of photos differ, one of them a whole photo's: 0 to 144.

    `some` and `others` `[..., 1 + crops, bytes]` are broadcast; the answer is `[...]`.

    >>> distances(np.array([[0b1111]], np.uint8), np.array([[0b0000], [0b0111]], np.uint8)).tolist()
    1
    """
    there = np.bitwise_count(some[..., :1, :] ^ others).sum(axis=-1).min(axis=-1)  # whole against all
    back = np.bitwise_count(others[..., :1, :] ^ some).sum(axis=-1).min(axis=-1)
    return np.asarray(np.minimum(there, back), np.int64)


class HashStore:
    """The hashes by which a library's duplicates were looked for, kept beside it by id: an id's photo never changes."""

    def __init__(self, library: Path) -> None:
        self._path = library / CACHE

    def of(self, items: Sequence[Item], watcher: Watcher) -> tuple[list[Item], Hashes]:
        """The items whose photos can be read, and their hashes `[n, 1 + crops, bytes]`; the new ones are kept."""
        known = self._read()
        new = [item for item in items if item.id not in known]
        if new:
            watcher.begin(len(new))
            try:
                for item, hashed in zip(new, hash_all([item.path for item in new]), strict=False):
                    watcher.advance(1)
                    if hashed is not None:
                        known[item.id or 0] = hashed
            finally:
                watcher.end()
                self._write(known)
        read = [item for item in items if item.id in known]
        return read, np.array([known[item.id or 0] for item in read], np.uint8).reshape(-1, *HASHES)

    def _read(self) -> dict[int, Hashes]:
        """What is kept; nothing where the file is missing, damaged or of another version."""
        with suppress(OSError):
            content = self._path.read_bytes()
            mark, records = content[: len(MARK) + SUM], content[len(MARK) + SUM :]
            if mark == MARK + _sum(records) and len(records) % RECORD.itemsize == 0:
                rows = np.frombuffer(records, RECORD)
                return dict(zip(rows["id"].tolist(), rows["hashes"], strict=True))
        return {}

    def _write(self, known: Mapping[int, Hashes]) -> None:
        rows = np.array([(id, hashes) for id, hashes in known.items()], RECORD)
        with suppress(OSError), atomic_write(self._path) as new:  # else they take the time again
            new.write_bytes(MARK + _sum(rows.tobytes()) + rows.tobytes())


def _sum(records: bytes) -> bytes:
    return hashlib.blake2b(records, digest_size=SUM).digest()


def hash_all(paths: Sequence[Path]) -> Iterator[Hashes | None]:
    """The hashes of each photo in turn, read on all processors; None for one that cannot be read."""

    def hashes(path: Path) -> Hashes | None:
        with suppress(SourceError):
            return hashes_of(path)
        return None

    yield from ahead(hashes, paths, overdue=lambda _path, _error: None)


def _crops() -> Iterator[tuple[float, float, float, float]]:
    """The boxes of the crops in a photo of `SIDE` by `SIDE`: left, top, right, bottom."""
    for share, across, down in product(CROPS, PLACES, PLACES):
        side = SIDE * (1 - share)
        left, top = across * (SIDE - side), down * (SIDE - side)
        yield left, top, left + side, top + side

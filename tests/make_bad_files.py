"""Broken inputs, each made by one row of a table: what a photo folder of many years really holds, and what malice adds.

`BAD_FILES` have to be refused, each with its reason; `ODD_FILES` look wrong but must stop nothing: they are
read, or passed over, without harm to their neighbours. A maker returns None where the machine cannot make its
file: root may read everything, and some file systems refuse names that are not UTF-8.
"""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from make_photos import PHOTOS, cat


@dataclass(frozen=True, slots=True)
class Bad:
    """A broken input and a word, in lower case, that the reason for refusing it has to contain."""

    path: Path
    reason: str


def _photo(path: Path, *, like: str) -> bytes:
    """The row `like` of `PHOTOS` written to `path`; returns its bytes."""
    PHOTOS[like](cat(), path)
    return path.read_bytes()


def _png(width: int, height: int, scanlines: bytes, *, bits: int, colour: int) -> bytes:
    """A PNG file around compressed scanlines; `colour` is its colour type, 0 for grey and 2 for RGB."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", scanlines), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def empty_photo(folder: Path) -> Bad:
    """No bytes at all: a copy that a full disk cut off."""
    path = folder / "empty.jpg"
    path.touch()
    return Bad(path, "empty")


def half_photo(folder: Path) -> Bad:
    """The first half of a JPEG."""
    path = folder / "half.jpg"
    content = _photo(path, like="baseline.jpg")
    path.write_bytes(content[: len(content) // 2])
    return Bad(path, "truncated")


def text_named_photo(folder: Path) -> Bad:
    """A sentence under a photo's suffix: a saved error page, say."""
    path = folder / "text.jpg"
    path.write_text("404 Not Found\n", encoding="utf-8")
    return Bad(path, "not a photo")


def noise_named_photo(folder: Path) -> Bad:
    """Random bytes under a photo's suffix, the same every time."""
    path = folder / "noise.png"
    path.write_bytes(random.Random(0).randbytes(5000))
    return Bad(path, "not a photo")


def corrupt_pixels(folder: Path) -> Bad:
    """A PNG with a good header and a hole of zeros in its compressed pixels."""
    path = folder / "corrupt_pixels.png"
    content = _photo(path, like="rgb.png")
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(1000) + content[middle + 1000 :])
    return Bad(path, "damaged")


def decompression_bomb(folder: Path) -> Bad:
    """A valid PNG of 110 kilobytes that holds 900 megapixels, 30000 x 30000 of one bit each."""
    path = folder / "bomb.png"
    side = 30_000
    squeeze = zlib.compressobj(9)
    line = bytes(1 + side // 8)  # the filter byte, then one bit a pixel
    lines = b"".join(squeeze.compress(line * 100) for _ in range(side // 100)) + squeeze.flush()
    path.write_bytes(_png(side, side, lines, bits=1, colour=0))
    return Bad(path, "megapixels")


def photo_of_no_size(folder: Path) -> Bad:
    """A GIF that is 0 pixels wide and high."""
    path = folder / "no_size.gif"
    path.write_bytes(b"GIF89a" + struct.pack("<HHBBB", 0, 0, 0, 0, 0) + b";")
    return Bad(path, "not a photo")


def half_heic(folder: Path) -> Bad:
    """The first half of a HEIC photo: the boxes that describe the pixels, and too few of the pixels."""
    path = folder / "half.heic"
    content = _photo(path, like="rgb.heic")
    path.write_bytes(content[: len(content) // 2])
    return Bad(path, "damaged")


def noise_in_heic(folder: Path) -> Bad:
    """A HEIC signature with noise behind it."""
    path = folder / "noise.heic"
    signature = struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic"
    path.write_bytes(signature + random.Random(1).randbytes(3000))
    return Bad(path, "not a photo")


def tiff_pointing_nowhere(folder: Path) -> Bad:
    """A TIFF whose first directory is said to stand four gigabytes on."""
    path = folder / "nowhere.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 0xFFFF_FFF0) + bytes(64))
    return Bad(path, "not a photo")


def tiff_of_absurd_size(folder: Path) -> Bad:
    """A TIFF of a hundred bytes that claims a width and height of four thousand million pixels."""
    path = folder / "absurd_size.tif"
    huge, long, short = 0xFFFF_FFF0, 4, 3
    tags = (
        (256, long, huge),  # ImageWidth
        (257, long, huge),  # ImageLength
        (258, short, 8),  # BitsPerSample
        (259, short, 1),  # Compression: none
        (262, short, 1),  # PhotometricInterpretation: black is zero
        (273, long, 8),  # StripOffsets
        (278, long, huge),  # RowsPerStrip
        (279, long, huge),  # StripByteCounts
    )
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4))
    return Bad(path, "megapixels")


def broken_link(folder: Path) -> Bad:
    """A link to a photo that is gone."""
    path = folder / "broken_link.jpg"
    path.symlink_to(folder / "gone.jpg")
    return Bad(path, "no such file")


def links_in_a_circle(folder: Path) -> Bad:
    """Two links that name each other; both are refused."""
    path = folder / "circle_a.jpg"
    path.symlink_to(folder / "circle_b.jpg")
    (folder / "circle_b.jpg").symlink_to(path)
    return Bad(path, "symbolic links")


def unreadable_folder(folder: Path) -> Bad | None:
    """A folder that its owner has closed, with a photo in it; None for root, whom nothing is closed to."""
    if os.geteuid() == 0:
        return None
    path = folder / "closed"
    path.mkdir()
    _photo(path / "cat.jpg", like="baseline.jpg")
    path.chmod(0)
    return Bad(path, "permission denied")


def unreadable_photo(folder: Path) -> Bad | None:
    """A photo that its owner has closed; None for root, whom nothing is closed to."""
    if os.geteuid() == 0:
        return None
    path = folder / "closed.jpg"
    _photo(path, like="baseline.jpg")
    path.chmod(0)
    return Bad(path, "permission denied")


def name_that_is_not_utf8(folder: Path) -> Bad | None:
    """A good photo whose name is Latin-1, as on disks of the nineties; None where the file system refuses it."""
    path = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg"))
    try:
        _photo(path, like="baseline.jpg")
    except OSError:
        return None
    return Bad(path, "utf-8")


def broken_captions(folder: Path) -> Bad:
    """Captions as JSON, cut off in the middle."""
    path = folder / "captions.json"
    path.write_text('{"images": [], "annotations": [{"image_id": 1, "caption": "A ho', encoding="utf-8")
    return Bad(path, "unterminated string")


def zeros_named_text(folder: Path) -> Bad:
    """A text file full of zero bytes, as a crash of the machine leaves behind."""
    path = folder / "zeros.txt"
    path.write_bytes(bytes(4096))
    return Bad(path, "not text")


def photo_without_its_end(folder: Path) -> Path:
    """A JPEG that lacks its last 100 bytes, as a copy that was broken off leaves behind."""
    path = folder / "without_its_end.jpg"
    path.write_bytes(_photo(path, like="baseline.jpg")[:-100])
    return path


def empty_text(folder: Path) -> Path:
    """A text without a byte."""
    path = folder / "blank.txt"
    path.touch()
    return path


def utf16_text(folder: Path) -> Path:
    """A text as Windows' Notepad used to save it, with a byte order mark."""
    path = folder / "utf16.txt"
    path.write_text("Ein Café am Flußufer.\n", encoding="utf-16")
    return path


def latin1_text(folder: Path) -> Path:
    """A text in Latin-1, which is not valid UTF-8."""
    path = folder / "latin1.txt"
    path.write_text("Ein Café am Flußufer.\n", encoding="latin-1")
    return path


def undecodable_table(folder: Path) -> Path:
    """Captions as CSV, with two bytes in the second row that no UTF-8 holds."""
    path = folder / "captions.csv"
    path.write_bytes(b"image,caption\ncat.jpg,A cat.\ndog.jpg,A dog \xff\xfe here.\n")
    return path


def folder_named_photo(folder: Path) -> Path:
    """A folder with a photo's suffix, and a photo in it."""
    path = folder / "folder.jpg"
    path.mkdir()
    _photo(path / "cat.jpg", like="baseline.jpg")
    return path


def folder_in_itself(folder: Path) -> Path:
    """A folder that holds a photo, and a link to itself."""
    path = folder / "circle"
    path.mkdir()
    _photo(path / "cat.jpg", like="baseline.jpg")
    (path / "again").symlink_to(path, target_is_directory=True)
    return path


BAD_FILES: dict[str, Callable[[Path], Bad | None]] = {
    maker.__name__: maker
    for maker in (
        empty_photo,
        half_photo,
        text_named_photo,
        noise_named_photo,
        corrupt_pixels,
        decompression_bomb,
        photo_of_no_size,
        half_heic,
        noise_in_heic,
        tiff_pointing_nowhere,
        tiff_of_absurd_size,
        broken_link,
        links_in_a_circle,
        unreadable_folder,
        unreadable_photo,
        name_that_is_not_utf8,
        broken_captions,
        zeros_named_text,
    )
}

ODD_FILES: dict[str, Callable[[Path], Path]] = {
    maker.__name__: maker
    for maker in (
        photo_without_its_end,
        empty_text,
        utf16_text,
        latin1_text,
        undecodable_table,
        folder_named_photo,
        folder_in_itself,
    )
}

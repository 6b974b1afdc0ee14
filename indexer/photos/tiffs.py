"""TIFFs that Pillow does not read, or reads wrongly: of deep, signed and floating numbers, in planes, white as zero.

Pillow has libtiff and reads most photos; `pillow_reads` says which. The others are read by tifffile, which knows all
kinds of numbers, and needs imagecodecs for some compressions of them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from indexer.errors import SourceError

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# TIFF's numbers: tags, and values of them.
NEW_SUBFILE_TYPE, SUBFILE_TYPE = 254, 255
BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR, SAMPLE_FORMAT, XMP, ICC_PROFILE = 258, 262, 284, 339, 700, 34675
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED = 0, 1, 2, 3, 5
REDUCED, MASK = 1, 4  # bits of the new kind of subfile; 2 is the old kind's value for "reduced"
CHUNKY, UNSIGNED = 1, 1
COLOURS = {WHITE_IS_ZERO: "L", BLACK_IS_ZERO: "L", RGB: "RGB", PALETTE: "P", SEPARATED: "CMYK"}  # by Pillow's names
PREMULTIPLIED, ALPHA = 1, 2  # extra samples that are alpha

# What tifffile thinks of a file is nobody's business; without a handler it would be printed.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

# Pages that are looked at for the first that is no preview.
MOST_PAGES = 64


def pillow_reads(image: TiffImageFile) -> bool:
    """Whether Pillow decodes the page that it has opened as it is meant: tests write each kind and look."""
    tags = image.tag_v2
    bits, kind = max(_values(tags.get(BITS_PER_SAMPLE, 1))), tags.get(PHOTOMETRIC)
    if set(_values(tags.get(SAMPLE_FORMAT, UNSIGNED))) != {UNSIGNED}:
        return False
    return bits <= 8 or (bits == 16 and kind in (BLACK_IS_ZERO, RGB) and tags.get(PLANAR, CHUNKY) == CHUNKY)


def _values(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def seek_photo(image: TiffImageFile) -> bool:
    """Turns to the first page that is the photo and not a preview or mask; False if the file's list has none."""
    for page in range(MOST_PAGES):
        try:
            image.seek(page)
        except EOFError:
            break
        if not _is_aside(image.tag_v2.get(NEW_SUBFILE_TYPE, 0), image.tag_v2.get(SUBFILE_TYPE, 0)):
            return True
    image.seek(0)
    return False


def _is_aside(new: Any, old: Any) -> bool:
    return bool(int(new) & (REDUCED | MASK)) or int(old) == 2


class DeepTiff(ImageFile.ImageFile):
    """A TIFF read by tifffile: opened by its header, its numbers made bytes when it is loaded."""

    format = "TIFF"
    format_description = "TIFF of numbers that are no bytes"

    def _open(self) -> None:
        from tifffile import TiffFile  # late: it takes 0.1 s, and few photos need it

        assert self.fp is not None
        file = TiffFile(self.fp)
        self._page: Any = _photo_page(file.pages)
        page = self._page
        colours = COLOURS.get(int(page.photometric))
        if colours is None or page.samplesperpixel < (1 if colours == "P" else len(colours)):
            kind = getattr(page.photometric, "name", page.photometric)
            raise SourceError(f"it is a TIFF of kind {kind}, which Descry does not read")
        has_alpha = colours in ("L", "RGB") and page.extrasamples[:1] and page.extrasamples[0] in (PREMULTIPLIED, ALPHA)
        self._mode = "RGB" if colours == "P" else f"{colours}A" if has_alpha else colours
        self._size = page.imagewidth, page.imagelength
        self.bytes_a_pixel = page.samplesperpixel * page.dtype.itemsize if page.dtype is not None else 0
        for name, tag in (("icc_profile", ICC_PROFILE), ("xmp", XMP)):
            if tag in page.tags:
                self.info[name] = bytes(page.tags[tag].value)
        with suppress(Exception):  # a block of EXIF that cannot be read costs no photo
            exif = Image.Exif()
            exif.endian, exif.bigtiff = file.byteorder, file.is_bigtiff
            exif.load_from_fp(self.fp, page.offset)
            self.info["exif"] = exif.tobytes()

    def load(self) -> Any:
        """Decodes the pixels, once."""
        if self._page is not None:
            pixels = _pixels(self._page)
            wanted = pixels[..., 0] if self._mode == "L" else pixels[..., : len(self._mode)]
            self.im = Image.fromarray(np.ascontiguousarray(wanted), self._mode).im
            self._page, self.tile = None, []
        return super().load()


def _photo_page(pages: Iterable[Any]) -> Any:
    """The first page that is the photo and not a preview or mask of it, also among those below the pages."""
    first, *others = islice(pages, MOST_PAGES)
    for page in (first, *others, *_below(first)):
        tags = {tag: page.tags[tag].value for tag in (NEW_SUBFILE_TYPE, SUBFILE_TYPE) if tag in page.tags}
        if not _is_aside(tags.get(NEW_SUBFILE_TYPE, 0), tags.get(SUBFILE_TYPE, 0)):
            return page
    return first


def _below(page: Any) -> Iterator[Any]:
    if page.subifds:
        yield from islice(page.pages or (), MOST_PAGES)


def _pixels(page: Any) -> npt.NDArray[np.uint8]:
    """The page's pixels, `[h, w, samples]`, as bytes; of palette colours `[h, w, 3]`."""
    try:
        values = page.asarray()
    except ValueError as error:
        if needed := re.search(r"\.(\w+): \d+> requires the 'imagecodecs'", str(error)):
            raise SourceError(
                f"it is a TIFF of deep or signed numbers, compressed by {needed[1]}: "
                "`pip install 'descry[formats]'` gets what reads it"
            ) from error
        raise
    planes, _, height, width, together = page.shaped
    values = values.reshape(page.shaped)[:, 0]  # (planes, h, w, together), of a depth that photos have not
    values = values.transpose(1, 2, 0, 3).reshape(height, width, planes * together)
    if page.photometric == PALETTE:
        palette = np.asarray(page.colormap, np.uint16)  # (3, colours), 16 bits each
        return (palette >> 8).astype(np.uint8)[:, values[..., 0]].transpose(1, 2, 0)
    is_plain = page.sampleformat == UNSIGNED and page.bitspersample <= 16
    pixels = eight_bits(values, top=2**page.bitspersample - 1 if is_plain else None)
    if page.photometric == WHITE_IS_ZERO:
        pixels = 255 - pixels
    if page.extrasamples[:1] == (PREMULTIPLIED,):
        colours, alpha = pixels[..., :-1].astype(np.float32), np.maximum(pixels[..., -1:], 1)
        pixels[..., :-1] = np.minimum(colours * (255 / alpha) + 0.5, 255)
    return pixels


def eight_bits(values: npt.NDArray[Any], *, top: float | None = None) -> npt.NDArray[np.uint8]:
    """Numbers of any kind as bytes: 0 becomes 0 and `top` 255.

    Without `top`, that is 1 for floating numbers or the largest of them, and for whole numbers the largest of as many
    bits as they use. Where there are negative numbers, the least becomes 0.
    """
    if is_floating := values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, 0)
    low, high = (float(end) for end in (values.min(initial=0), values.max(initial=0)))
    if top is None:
        top = max(1.0, high) if is_floating else 2.0 ** int(high).bit_length() - 1
    scale = 255 / (top - low) if top > low else 1.0
    scaled: npt.NDArray[np.uint8] = np.clip((values.astype(np.float32) - low) * scale + 0.5, 0, 255).astype(np.uint8)
    return scaled

"""The pixels of a photo that was opened: RGB, at a scale that is enough.

JPEGs, which most photos are, are decoded straight into arrays: libjpeg-turbo as Pillow has it, without Pillow's copies.
Milliseconds of a processor for a photo of 640x480 / of 12 megapixels at a quarter of its scale: Pillow and an array
made of its image 1.95 / 31.9, simplejpeg 1.09 / 28.7. The pixels are the same to a step of a byte.
"""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ExifTags, Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from indexer.errors import SourceError
from indexer.photos.colours import can_wait, srgb, srgb_pixels
from indexer.photos.memory import memory_for
from indexer.photos.opening import source_errors
from indexer.photos.tiffs import eight_bits

# JPEGs are decoded at the smallest scale that leaves this many times the target's side: at twice the
# target the prepared tensor stays within cosine 0.9999 of plain decoding and a 12-megapixel photo takes
# a third of the time; at the target itself the loss is visible (0.998).
DECODE_MARGIN = 2

# The share of its rows that a JPEG which was cut off has to have to be searched.
LEAST_THERE = 0.75

# EXIF's orientations of photos that are stored lying on a side, from the upright image's right, from its bottom.
SIDEWAYS = (5, 6, 7, 8)
REVERSED_ACROSS = (2, 3, 6, 7)
REVERSED_DOWN = (3, 4, 7, 8)

# What the pixels that were decoded are called among an image's `info`: a thumbnail is drawn of the same ones. They are
# not kept where they are more bytes than this, which the budget of memory does not know of.
DECODED = "decoded"
KEPT_AT_MOST = 8_000_000

# Modes of which Pillow makes means before it converts them.
REDUCED = ("L", "LA", "RGB", "RGBA", "CMYK")

# Rows of which means are made, at least, where there are more: of 1000 x 750 pixels all take 0.9 ms, these 0.2.
ROWS = 3

# Scales at which libjpeg-turbo decodes quickly; at those between, it is slower than without any.
SCALES = (8, 4, 2, 1)


def decoding_scale(image: Image.Image, side: int | None) -> int:
    """By how much width and height of a JPEG are divided when it is decoded for a square of `side`; 1 for others."""
    if side is None or image.format not in ("JPEG", "MPO"):
        return 1
    return next(scale for scale in SCALES if scale == 1 or min(image.size) >= scale * DECODE_MARGIN * side)


def upright_rgb(image: Image.Image, *, side: int | None = None, convert: bool = True) -> Image.Image:
    """The image's pixels: upright by its EXIF orientation, sRGB, alpha laid over white.

    With `side`, a JPEG may come at a reduced scale, no smaller than `DECODE_MARGIN * side` in either direction.
    Without `convert`, what `srgb_pixels` can convert later, when it is small, keeps the colours of its profile.
    """
    with source_errors(), memory_for(image, decoding_scale(image, side)):
        if side is not None:
            image.draft(None, (DECODE_MARGIN * side, DECODE_MARGIN * side))
        image.load()
        if image.info.get("incomplete") and (there := _share_there(image)) < LEAST_THERE:
            raise SourceError(f"it is truncated: {there:.0%} of it is there")
        with suppress(Exception):  # an EXIF block that cannot be read does not make the photo unreadable
            if orientation(image) != 1:  # else it would make a copy
                image = ImageOps.exif_transpose(image)
        return _rgb(image, convert)


def small_rgb(image: Image.Image, *, side: int) -> npt.NDArray[np.uint8]:
    """Means of the image's pixels, `[h, w, 3]` sRGB, alpha laid over white, some `side` along the longer side.

    They lie as they are stored, not turned upright. What an encoder decoded before is taken; a JPEG of which nothing is
    decoded comes at a reduced scale. Raises `SourceError`.
    """
    with source_errors(), memory_for(image, decoding_scale(image, side)):
        decoded = image.info.get(DECODED)
        if decoded is not None:
            across = max(1, round(max(decoded.shape) / side))
            step = max(1, across // ROWS)
            small = Image.fromarray(decoded[::step]).reduce((across, max(1, across // step)))
            return srgb_pixels(np.asarray(small), image)
        image.draft(None, (side, side))
        image.load()
        across = max(1, round(max(image.size) / side))
        if image.mode not in REDUCED or "transparency" in image.info:
            return np.asarray(_rgb(image, convert=True).reduce(across))
        small = image.reduce(across)
        small.info = dict(image.info)
        return np.asarray(_rgb(small, convert=True))


def orientation(image: Image.Image) -> int:
    """How the image has to be turned to stand upright, as EXIF counts it: 1 for not at all."""
    with suppress(Exception):  # EXIF blocks are broken in every imaginable way, and never worth losing a photo
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height once it stands upright by its EXIF orientation."""
    with suppress(Exception):  # EXIF blocks are broken in every imaginable way, and never worth losing a photo
        exif = Image.Image.getexif(image)  # PNG's own getexif would decode, and hide that it failed
        # of a TIFF, Pillow tells the size upright by itself
        if exif.get(ExifTags.Base.Orientation, 1) in SIDEWAYS and not isinstance(image, TiffImageFile):
            return image.height, image.width
    return image.size


def _share_there(image: Image.Image) -> float:
    """The share of the rows of a cut off JPEG above those that its decoder made up: of one colour, all alike."""
    pixels = np.asarray(image)
    made_up = (pixels == pixels[-1, -1]).reshape(len(pixels), -1).all(axis=1)
    return 1 - int(made_up[::-1].cumprod().sum()) / len(pixels)


def _rgb(image: Image.Image, convert: bool) -> Image.Image:
    """The image in sRGB, transparent parts white."""
    if not convert and can_wait(image):
        return image if image.mode == "RGB" else image.convert("RGB")
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if not image.has_transparency_data:
        return srgb(image)
    if image.mode not in ("LA", "RGBA"):
        image = image.convert("RGBA")
    alpha = image.getchannel("A")
    opaque = srgb(image.convert("L" if image.mode == "LA" else "RGB"))
    return Image.composite(opaque, Image.new("RGB", image.size, "white"), alpha)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Deep grey values, `[h, w]` 16-bit, 32-bit or float, scaled to 0..255."""
    values = np.asarray(image)
    is_plain = image.mode.startswith("I") and values.max(initial=0) <= 65535
    grey = Image.fromarray(eight_bits(values, top=65535 if is_plain else None))
    grey.info = image.info
    return grey


def jpeg_pixels(image: Image.Image, *, side: int) -> npt.NDArray[np.uint8] | None:
    """The pixels `[h, w, 3]` of an image that `open_photo` opened, as they are stored: not turned upright.

    They come at a reduced scale, no smaller than `DECODE_MARGIN * side` in either direction. None for what is no
    plain JPEG, or not a sound one: Pillow knows more of those, and says what is wrong.
    """
    if image.format not in ("JPEG", "MPO") or image.mode not in ("RGB", "L"):
        return None
    file = getattr(image, "fp", None)
    if not isinstance(file, BytesIO):
        return None
    scale = decoding_scale(image, side)
    width, height = (-(-length // scale) for length in image.size)
    try:
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(
            file.getvalue(), "RGB", min_width=width, min_height=height
        )
    except ValueError:
        return None
    if pixels.nbytes <= KEPT_AT_MOST:
        image.info[DECODED] = pixels
    return pixels


def upright(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Stored pixels `[h, w, 3]` turned as an EXIF orientation asks for; what is no orientation asks for nothing."""
    if orientation in SIDEWAYS:
        pixels = pixels.transpose(1, 0, 2)  # (h, w, 3) -> (w, h, 3)
    if orientation in REVERSED_DOWN:
        pixels = pixels[::-1]
    if orientation in REVERSED_ACROSS:
        pixels = pixels[:, ::-1]
    return pixels


def true_size(size: tuple[int, int], whole: tuple[int, int]) -> tuple[float, float]:
    """Width and height of what is photo in the decoded pixels, as large as `size`, of a photo of size `whole`.

    Of a side that the decoder's scale does not divide, the last pixel is only partly photo.
    """
    factor = round(max(whole) / max(size))
    return whole[0] / factor, whole[1] / factor

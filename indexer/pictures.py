"""Photos from untrusted files: opened by their header, their facts read, their pixels made ready for a tower.

A photo is opened lazily: `open_picture` reads the header only, and the recipe of the tower decides
how many of the pixels have to be decoded.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from indexer.errors import SourceError

# Pillow's own guard is one number for the process and only warns up to twice it; ours is per call and firm.
Image.MAX_IMAGE_PIXELS = None
# Pillow warns of oddities in files that it reads all the same; a photo folder is full of them.
warnings.filterwarnings("ignore", module=r"PIL\.")

# 250 megapixels: above any camera's single exposure (a Hasselblad's multi-shot excepted), below what
# would take more than a gigabyte of memory to decode.
MAX_PIXELS = 250_000_000

# JPEGs are decoded at the smallest scale that leaves this many times the target's side: at twice the
# target the prepared tensor stays within cosine 0.9999 of plain decoding and a 12-megapixel photo takes
# a third of the time; at the target itself the loss is visible (0.998).
DECODE_MARGIN = 2

# EXIF's orientations of pictures that are stored lying on a side, from the upright picture's right, from its bottom.
SIDEWAYS = (5, 6, 7, 8)
REVERSED_ACROSS = (2, 3, 6, 7)
REVERSED_DOWN = (3, 4, 7, 8)

INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


@contextmanager
def reasons() -> Iterator[None]:
    """Turns whatever a decoder raises on a broken file into a `SourceError` that says why."""
    try:
        yield
    except SourceError:
        raise
    except UnidentifiedImageError as error:
        raise SourceError("it is not a photo in any format that can be read") from error
    except MemoryError as error:
        raise SourceError("there is not enough memory to decode it") from error
    except OSError as error:
        raise SourceError(error.strerror.lower() if error.strerror else f"it is damaged ({error})") from error
    # Decoders answer hostile bytes with every kind of exception: struct.error, SyntaxError, IndexError ...
    except Exception as error:
        raise SourceError(f"it is damaged ({type(error).__name__}: {error})") from error


def open_picture(path: Path, *, max_pixels: int = MAX_PIXELS, content: bytes | None = None) -> Image.Image:
    """The photo at `path`, its header read and its pixels not yet decoded; of its `content`, if that was read already.

    Raises `SourceError` if it is none, or if it holds more than `max_pixels` pixels.
    """
    with reasons():
        if content is None:
            content = path.read_bytes()  # read once: what is decoded later is what was opened, and no file stays open
        if not content:
            raise SourceError("it is empty")
        if content[4:8] == b"ftyp":  # HEIF, AVIF and other files of that build
            know_heif()
        picture = Image.open(BytesIO(content))
    if picture.width * picture.height > max_pixels:
        picture.close()
        megapixels = picture.width * picture.height / 1e6
        raise SourceError(
            f"it has {megapixels:.0f} megapixels, the limit is {max_pixels / 1e6:.0f}; --max-megapixels raises it"
        )
    return picture


@cache
def know_heif() -> None:
    """Teaches Pillow to open HEIF. Late: a question by a photo of another kind is answered 8 ms sooner."""
    import pillow_heif

    pillow_heif.register_heif_opener()


def upright_rgb(picture: Image.Image, *, side: int | None = None) -> Image.Image:
    """The picture's pixels: upright by its EXIF orientation, RGB, alpha laid over white.

    With `side`, a JPEG may come at a reduced scale, no smaller than `DECODE_MARGIN * side` in either direction.
    """
    with reasons():
        if side is not None:
            picture.draft(None, (DECODE_MARGIN * side, DECODE_MARGIN * side))
        picture.load()
        with suppress(Exception):  # an EXIF block that cannot be read does not make the photo unreadable
            if orientation(picture) != 1:  # else it would make a copy
                picture = ImageOps.exif_transpose(picture)
        return _rgb(picture)


def orientation(picture: Image.Image) -> int:
    """How the picture has to be turned to stand upright, as EXIF counts it: 1 for not at all."""
    with suppress(Exception):  # EXIF blocks are broken in every imaginable way, and never worth losing a photo
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height once it stands upright by its EXIF orientation."""
    with suppress(Exception):  # EXIF blocks are broken in every imaginable way, and never worth losing a photo
        exif = Image.Image.getexif(picture)  # PNG's own getexif would decode, and hide that it failed
        # of a TIFF, Pillow tells the size upright by itself
        if exif.get(ExifTags.Base.Orientation, 1) in SIDEWAYS and picture.format != "TIFF":
            return picture.height, picture.width
    return picture.size


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith(("I", "F")):
        picture = _eight_bits(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Deep grey values, `[h, w]` 16-bit, 32-bit or float, scaled to 0..255."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float32))
    top = 65535.0 if picture.mode.startswith("I") else 1.0
    if picture.mode in ("I", "F") and values.max(initial=0) > top:
        top = float(values.max())
    return Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8))


@dataclass(frozen=True, slots=True)
class ImageRecipe:
    """How one model wants its pictures: resize -> crop or pad -> `[3, size, size]`, later scaled by mean and std.

    `mode` is open_clip's: "shortest" scales the short side to `size` and crops the middle, "longest" scales the
    long side and pads with `fill`, "squash" scales both. `mean` and `std` are of values in 0..1, one a channel.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    mode: str = "shortest"
    fill: int = 0

    def prepare(self, picture: Image.Image) -> npt.NDArray[np.uint8]:
        """The picture as `[3, size, size]` uint8, RGB; the tower scales and normalises on its device."""
        whole = upright_size(picture)
        pixels = upright_rgb(picture, side=self.size)
        with reasons():
            square = self._square(pixels, whole, orientation(picture))
        return square.transpose(2, 0, 1)  # (h, w, 3) -> (3, h, w)

    def box(self, whole: tuple[int, int]) -> tuple[float, float, float, float]:
        """What the square covers of a photo of that size: left, top, right, bottom, beyond its edges if padded."""
        scaled = self._scaled(whole)
        starts = [round((side - self.size) / 2) for side in scaled]
        ends = [start + self.size for start in starts]
        across, down = (side / new for side, new in zip(whole, scaled, strict=True))
        return starts[0] * across, starts[1] * down, ends[0] * across, ends[1] * down

    def _scaled(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size before cropping or padding, rounded as torchvision does: a pixel more shifts the crop by half."""
        if self.mode == "squash":
            return self.size, self.size
        if self.mode == "shortest":
            width, height = (int(self.size * side / min(size)) for side in size)
        else:
            width, height = (max(1, round(self.size * side / max(size))) for side in size)
        return width, height

    def _square(self, pixels: Image.Image, whole: tuple[int, int], turn: int) -> npt.NDArray[np.uint8]:
        """The middle, `[size, size, 3]`, of the photo of size `whole`; `fill` beyond its edges.

        `pixels` are upright, turned so from EXIF's orientation `turn`.
        """
        method, scaled = INTERPOLATIONS[self.interpolation], self._scaled(whole)
        left, top = (round((side - self.size) / 2) for side in scaled)
        size = true_size(pixels.size, whole)
        # what is only partly photo was stored last
        x = pixels.width - size[0] if turn in REVERSED_ACROSS else 0
        y = pixels.height - size[1] if turn in REVERSED_DOWN else 0
        if min(scaled) < self.size:
            square = Image.new("RGB", (self.size, self.size), (self.fill,) * 3)
            square.paste(pixels.resize(scaled, method, box=(x, y, x + size[0], y + size[1])), (-left, -top))
            return np.array(square)
        across, down = (side / new for side, new in zip(size, scaled, strict=True))
        right, bottom = x + (left + self.size) * across, y + (top + self.size) * down
        # only what is kept is computed: all of a strip of 1 x 60000 pixels would be gigabytes
        box = (x + left * across, y + top * down, min(right, pixels.width), min(bottom, pixels.height))
        return np.array(pixels.resize((self.size, self.size), method, box=box))  # a copy: Pillow's may not be written


def true_size(size: tuple[int, int], whole: tuple[int, int]) -> tuple[float, float]:
    """Width and height of what is photo in the decoded pixels, as large as `size`, of a photo of size `whole`.

    Of a side that the decoder's scale does not divide, the last pixel is only partly photo.
    """
    factor = round(max(whole) / max(size))
    return whole[0] / factor, whole[1] / factor


def picture_facts(picture: Image.Image) -> dict[str, Any]:
    """What is known beside the pixels: width and height (upright), taken, camera, lens, latitude, longitude.

    `taken` is the camera's local time as ISO 8601. What the file does not say, or says wrongly, is left out.
    """
    width, height = upright_size(picture)
    facts: dict[str, Any] = {"width": width, "height": height}
    with suppress(Exception):
        exif = Image.Image.getexif(picture)
        if not exif:
            return facts
        facts |= _camera_facts(exif, exif.get_ifd(ExifTags.IFD.Exif))
        facts |= _place_facts(exif.get_ifd(ExifTags.IFD.GPSInfo))
    return facts


def _camera_facts(base: Mapping[int, Any], details: Mapping[int, Any]) -> dict[str, Any]:
    dates = (
        details.get(ExifTags.Base.DateTimeOriginal),
        details.get(ExifTags.Base.DateTimeDigitized),
        base.get(ExifTags.Base.DateTime),
    )
    make, model = (_clean(base.get(tag)) for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
    # "Canon" + "Canon EOS R5" is one name, "NIKON CORPORATION" + "NIKON D750" too
    camera = model if make and model.lower().startswith(make.split()[0].lower()) else f"{make} {model}".strip()
    facts = {
        "taken": next(filter(None, map(_moment, dates)), None),
        "camera": camera,
        "lens": _clean(details.get(ExifTags.Base.LensModel)),
    }
    return {name: value for name, value in facts.items() if value}


def _clean(value: object) -> str:
    return str(value).replace("\0", "").strip() if value else ""


def _moment(value: object) -> str | None:
    """EXIF's "2023:05:04 12:30:00" as "2023-05-04T12:30:00"; None for "0000:00:00 00:00:00" and the like."""
    with suppress(ValueError):
        return datetime.strptime(_clean(value)[:19], "%Y:%m:%d %H:%M:%S").isoformat()
    return None


def _place_facts(gps: Mapping[int, Any]) -> dict[str, float]:
    latitude = _degrees(gps.get(ExifTags.GPS.GPSLatitude), gps.get(ExifTags.GPS.GPSLatitudeRef))
    longitude = _degrees(gps.get(ExifTags.GPS.GPSLongitude), gps.get(ExifTags.GPS.GPSLongitudeRef))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return {}
    return {"latitude": latitude, "longitude": longitude}


def _degrees(value: Any, reference: object) -> float | None:
    """Degrees, minutes and seconds as signed degrees, rounded to a decimetre."""
    if not value:
        return None
    degrees, minutes, seconds = (float(part) for part in value)
    total = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(total):
        return None
    return round(-total if _clean(reference).upper()[:1] in ("S", "W") else total, 6)

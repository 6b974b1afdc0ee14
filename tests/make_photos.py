"""One small real photo written in every format that the indexer reads, so that no test needs a downloaded file.

Everything shows the same upright cat, `SIZE` pixels; what is transparent hides black, so that a reader
that forgets to lay a photo over white is found out, and a second frame or page is black for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

pillow_heif.register_heif_opener()

CAT = Path(__file__).parents[1] / "data" / "photos" / "cat.jpg"
SIZE = (160, 106)

Writer = Callable[[Image.Image, Path], None]

# How upright pixels have to be stored under each EXIF orientation: the inverse of what a viewer does.
STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def cat() -> Image.Image:
    """The demo photo of a cat, RGB and small."""
    with Image.open(CAT) as photo:
        return photo.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)


def border() -> Image.Image:
    """The mask of the transparent photos, `L`: an eighth on each side is clear (0), the middle opaque (255)."""
    width, height = SIZE
    mask = Image.new("L", SIZE, 0)
    mask.paste(255, (width // 8, height // 8, width - width // 8, height - height // 8))
    return mask


def over_white(image: Image.Image) -> Image.Image:
    """What the transparent photos have to look like, RGB."""
    return Image.composite(image, Image.new("RGB", image.size, "white"), border())


def saved(mode: str = "RGB", **options: Any) -> Writer:
    """A writer that converts to `mode` and saves with Pillow's `options` in the format that the suffix names."""

    def write(image: Image.Image, path: Path) -> None:
        image.convert(mode).save(path, **options)

    return write


def transparent(mode: str = "RGBA", **options: Any) -> Writer:
    """A writer of `RGBA` or `LA` with a clear border that hides black."""

    def write(image: Image.Image, path: Path) -> None:
        hidden = Image.composite(image, Image.new("RGB", image.size), border())
        hidden.putalpha(border())
        hidden.convert(mode).save(path, **options)

    return write


def transparent_palette(*, alphas: bool) -> Writer:
    """A writer of palette colours whose last, a black, is clear: one index, or with `alphas` one byte a colour."""

    def write(image: Image.Image, path: Path) -> None:
        colours = image.quantize(255)
        clear = len(colours.getpalette() or ()) // 3
        colours.putpalette([*(colours.getpalette() or ()), 0, 0, 0])
        colours.paste(clear, mask=border().point(lambda alpha: 255 - alpha))
        colours.save(path, transparency=bytes([255] * clear + [0]) if alphas else clear)

    return write


def deep_grey(**options: Any) -> Writer:
    """A writer of 16-bit grey that uses the whole range 0..65535."""

    def write(image: Image.Image, path: Path) -> None:
        grey = np.asarray(image.convert("L"), dtype=np.uint16) * 257  # 255 * 257 = 65535
        Image.fromarray(grey).save(path, **options)

    return write


def then_black(**options: Any) -> Writer:
    """A writer of two frames or pages: the photo, then black."""

    def write(image: Image.Image, path: Path) -> None:
        image.save(path, save_all=True, append_images=[Image.new("RGB", image.size)], **options)

    return write


def oriented(orientation: int, **options: Any) -> Writer:
    """A writer that turns the pixels and says so in the EXIF orientation, 1 to 8."""

    def write(image: Image.Image, path: Path) -> None:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        stored = image.transpose(STORED_AS[orientation]) if orientation in STORED_AS else image
        # as bytes: pillow-heif writes HEIC's own rotation from those, as phones do, but not from an Exif object
        stored.save(path, exif=exif.tobytes(), **options)

    return write


PHOTOS: dict[str, Writer] = {
    "baseline.jpg": saved(quality=90),
    "progressive.jpeg": saved(quality=90, progressive=True),
    "cmyk.jpg": saved("CMYK", quality=90),
    "grey.jpg": saved("L", quality=90),
    "upper.JPG": saved(quality=90),
    "mixed.JpEg": saved(quality=90),
    "png_inside.jpg": saved(format="PNG"),
    **{f"orientation_{number}.jpg": oriented(number, quality=90) for number in range(1, 9)},
    "rgb.png": saved(),
    "upper.PNG": saved(),
    "rgba.png": transparent("RGBA"),
    "grey_alpha.png": transparent("LA"),
    "palette.png": saved("P"),
    "palette_clear_index.png": transparent_palette(alphas=False),
    "palette_clear_bytes.png": transparent_palette(alphas=True),
    "grey_16_bit.png": deep_grey(),
    "one_bit.png": saved("1"),
    "orientation_6.png": oriented(6),
    "lossy.webp": saved(quality=90),
    "lossless.webp": saved(lossless=True),
    "alpha.webp": transparent("RGBA", lossless=True, exact=True),
    "orientation_6.webp": oriented(6, quality=90),
    "animated.gif": then_black(duration=200, loop=0),
    "clear.gif": transparent_palette(alphas=False),
    "rgb.bmp": saved(),
    "rgb.tif": saved(),
    "lzw.tiff": saved(compression="tiff_lzw"),
    "cmyk.tif": saved("CMYK"),
    "grey_16_bit.tif": deep_grey(),
    "two_pages.tif": then_black(),
    "orientation_6.tif": oriented(6),
    "upper.TIF": saved(),
    "rgb.avif": saved(quality=90),
    "alpha.avif": transparent("RGBA", quality=90),
    "orientation_6.avif": oriented(6, quality=90),
    "rgb.jp2": saved(quality_mode="dB", quality_layers=[45]),
    "colour.ppm": saved(),
    "grey.pgm": saved("L"),
    "one_bit.pbm": saved("1"),
    "colour.pnm": saved(),
    "rgb.heic": saved(quality=90),
    "rgb.heif": saved(quality=90),
    "alpha.heic": transparent("RGBA", quality=90),
    "upper.HEIC": saved(quality=90),
    "orientation_6.heic": oriented(6, quality=90),
    # other names of the same formats
    **{f"other.{suffix}": saved(format="JPEG", quality=90) for suffix in ("jpe", "jfif")},
    **{f"other.{suffix}": saved(format="JPEG2000") for suffix in ("j2k", "j2c", "jpc", "jpx", "jpf")},
    "other.avifs": saved(format="AVIF", quality=90),
    "other.hif": saved(format="HEIF", quality=90),
}


def write_all(folder: Path) -> dict[str, Path]:
    """Every row of `PHOTOS` as a file in `folder`, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    photo = cat()
    paths = {name: folder / name for name in PHOTOS}
    for name, write in PHOTOS.items():
        write(photo, paths[name])
    return paths


def with_exif(
    path: Path,
    *,
    taken: datetime | None = None,
    make: str | None = None,
    camera: str | None = None,
    lens: str | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
) -> Path:
    """A JPEG of the cat that carries those facts in its EXIF block; returns `path`.

    `camera` is EXIF's Model. A `taken` that knows its time zone writes OffsetTimeOriginal too; degrees are
    signed, north and east positive.
    """
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    if make is not None:
        exif[ExifTags.Base.Make] = make
    if camera is not None:
        exif[ExifTags.Base.Model] = camera
    if lens is not None:
        details[ExifTags.Base.LensModel] = lens
    if taken is not None:
        details[ExifTags.Base.DateTimeOriginal] = f"{taken:%Y:%m:%d %H:%M:%S}"
    if taken is not None and taken.tzinfo is not None:
        offset = f"{taken:%z}"  # +0530; EXIF wants +05:30
        details[ExifTags.Base.OffsetTimeOriginal] = f"{offset[:3]}:{offset[3:5]}"
    if latitude is not None:
        place[ExifTags.GPS.GPSLatitudeRef] = "N" if latitude >= 0 else "S"
        place[ExifTags.GPS.GPSLatitude] = _degrees_minutes_seconds(latitude)
    if longitude is not None:
        place[ExifTags.GPS.GPSLongitudeRef] = "E" if longitude >= 0 else "W"
        place[ExifTags.GPS.GPSLongitude] = _degrees_minutes_seconds(longitude)
    cat().save(path, format="JPEG", quality=90, exif=exif)
    return path


def _degrees_minutes_seconds(degrees: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    """An unsigned angle as EXIF writes it, to a ten-thousandth of a second: 3 mm on the ground."""
    seconds = Fraction(round(abs(degrees) * 36_000_000), 10_000)
    minutes, seconds = divmod(seconds, 60)
    whole, minutes = divmod(minutes, 60)
    return IFDRational(whole), IFDRational(minutes), IFDRational(seconds.numerator, seconds.denominator)

"""Photos from untrusted files: opened by their header, their pixels not yet decoded."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import AvifImagePlugin, Image, Jpeg2KImagePlugin, PngImagePlugin, UnidentifiedImageError, WebPImagePlugin
from PIL.TiffImagePlugin import TiffImageFile

from indexer.errors import SourceError
from indexer.photos.memory import BUDGET
from indexer.photos.raws import raw_photo
from indexer.photos.suffixes import RARE_SUFFIXES
from indexer.photos.tiffs import TIFF_MAGIC, DeepTiff, pillow_reads, seek_photo

# These register their formats with Pillow by being imported.
PLUGINS = (AvifImagePlugin, Jpeg2KImagePlugin, WebPImagePlugin)

# Pillow's own guard is one number for the process and only warns up to twice it; ours is per call and firm.
Image.MAX_IMAGE_PIXELS = None
# Bytes that a PNG's compressed text or ICC profile may grow to: profiles of printers have more than Pillow's own 1 MB.
PngImagePlugin.MAX_TEXT_CHUNK = 32 << 20
# Pillow warns of oddities in files that it reads all the same; a photo folder is full of them.
warnings.filterwarnings("ignore", module=r"PIL\.")

# The formats, by Pillow's names, that are decoded: no others are tried, whatever a file's name says. PostScript, for
# one, would be handed to another program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000", "PPM")
ALL_FORMATS = (*FORMATS, "TIFF")

JPEG_MAGIC, JPEG_TABLE, JPEG_SCAN, JPEG_END = b"\xff\xd8\xff", b"\xff\xc4", b"\xff\xda", b"\xff\xd9"
# Scans of a progressive JPEG, each of which costs as much as all its pixels; encoders write ten or so.
MOST_SCANS = 100
# Segments of a JPEG that are looked at before its pixels; real ones have some dozens.
MOST_SEGMENTS = 10_000
JPEG_XL_MAGIC = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")


@contextmanager
def source_errors() -> Iterator[None]:
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


def whole_file(path: Path) -> bytes:
    """The bytes of a file. Raises `SourceError` for one larger than the memory that photos may take."""
    size = path.stat().st_size
    if size > BUDGET.total:
        raise SourceError(f"it has {size / 1e9:.1f} GB, the limit is {BUDGET.total / 1e9:.1f}; --max-memory raises it")
    return path.read_bytes()


def open_photo(path: Path, *, content: bytes | None = None) -> Image.Image:
    """The photo at `path`, its header read and its pixels not yet decoded; of its `content`, if that was read already.

    Raises `SourceError` if it is none, or if it holds more pixels than the `BUDGET` allows.
    """
    with source_errors():
        if content is None:
            content = whole_file(path)  # read once: what is decoded later is what was opened, and no file stays open
        if not content:
            raise SourceError("it is empty")
        ended = _ended(content) if content.startswith(JPEG_MAGIC) else None
        content = ended or content
        if path.suffix.lower() in RARE_SUFFIXES["rawpy"]:
            image = raw_photo(content)
        elif content.startswith(TIFF_MAGIC):
            image = _tiff(content)
        else:
            image = Image.open(BytesIO(content), formats=_formats(content))
    if ended is not None:
        image.info["incomplete"] = True
    if image.info.get("progressive") and content.count(JPEG_SCAN) > MOST_SCANS:
        raise SourceError(f"it is damaged (a JPEG of more than {MOST_SCANS} scans)")
    try:
        check_pixels(image.width, image.height)
    except SourceError:
        image.close()
        raise
    return image


def check_pixels(width: int, height: int) -> None:
    """Raises `SourceError` for a photo of more pixels than the `BUDGET` allows."""
    if width * height > BUDGET.pixels:
        raise SourceError(
            f"it has {width * height / 1e6:.0f} megapixels, the limit is {BUDGET.pixels / 1e6:.0f}; "
            "--max-megapixels raises it"
        )


def _ended(content: bytes) -> bytes | None:
    """A JPEG that was cut off within its pixels, ended so that what is there can be decoded; None for other JPEGs.

    The rest comes out of one colour. What may come behind the end of the pixels is not looked at.
    """
    if content.endswith(JPEG_END):
        return None
    place = len(JPEG_MAGIC) - 1
    for _ in range(MOST_SEGMENTS):
        if content[place : place + 1] != b"\xff" or content[place : place + 2] == JPEG_SCAN:
            break
        place = _segment_end(content, place)
    pixels = _segment_end(content, place)
    if pixels >= len(content) or content.find(JPEG_END, pixels) >= 0:  # the marker cannot stand within pixels
        return None
    last = max(content.rfind(marker, pixels) for marker in (JPEG_TABLE, JPEG_SCAN))
    if last >= 0 and _segment_end(content, last) > len(content):  # cut off between two scans
        content = content[:last]
    return content + JPEG_END


def _segment_end(content: bytes, place: int) -> int:
    """Where the segment that begins with a marker at a place ends."""
    return place + 2 + max(int.from_bytes(content[place + 2 : place + 4], "big"), 2)


def _tiff(content: bytes) -> Image.Image:
    """A TIFF by Pillow where Pillow reads it as it is meant, else by tifffile."""
    try:
        image = Image.open(BytesIO(content), formats=["TIFF"])
        if isinstance(image, TiffImageFile) and seek_photo(image) and pillow_reads(image):
            return image
    except Exception:  # Pillow knows no mode for such numbers, and says so in several ways
        pass
    try:
        return DeepTiff(BytesIO(content))
    except SourceError:
        raise
    except Exception as error:
        raise UnidentifiedImageError(str(error)) from error


def _formats(content: bytes) -> tuple[str, ...]:
    """The formats that a file may be of; what reads a rare one is loaded if the file looks like it."""
    if content[4:8] == b"ftyp":  # HEIF, AVIF and other files of that build
        register_heif()
        return (*FORMATS, "HEIF")
    if content.startswith(JPEG_XL_MAGIC):
        try:
            import pillow_jxl  # noqa: F401 - it registers itself
        except ImportError:
            raise SourceError("it is a JPEG XL: `pip install 'descry[formats]'` gets what reads it") from None
        return ("JXL",)
    return FORMATS


@cache
def register_heif() -> None:
    """Teaches Pillow to open HEIF. Late: a question by a photo of another kind is answered 8 ms sooner."""
    import pillow_heif

    pillow_heif.register_heif_opener()

"""RAW photos by the previews that cameras put into them; LibRaw, by rawpy, knows where they lie."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import ExifTags, Image

from indexer.errors import SourceError
from indexer.photos.memory import BUDGET

if TYPE_CHECKING:
    from rawpy import RawPy

# EXIF's orientations by LibRaw's numbers of them.
TURNS = {0: 1, 3: 3, 5: 8, 6: 6}

# Bytes that a pixel of a sensor takes to become a photo of half its width.
BYTES_A_PIXEL = 12


def raw_photo(content: bytes) -> Image.Image:
    """The largest preview in a RAW photo, not yet decoded, with the photo's EXIF and, as `whole_size`, its size."""
    try:
        import rawpy  # late: importing it takes as long as reading many photos
    except ImportError:
        raise SourceError("it is a RAW photo: `pip install 'descry[formats]'` gets what reads it") from None
    with rawpy.imread(BytesIO(content)) as raw:
        width, height, turn = raw.sizes.width, raw.sizes.height, TURNS.get(raw.sizes.flip, 1)
        image = _preview(raw)
    exif = image.getexif()
    with suppress(Exception):  # it is only there, in a way that Pillow knows, in RAWs that are TIFFs at bottom
        if not exif:
            order = "little" if content.startswith(b"II") else "big"
            exif.endian = "<" if order == "little" else ">"
            exif.load_from_fp(BytesIO(content), int.from_bytes(content[4:8], "little" if order == "little" else "big"))
    if (image.width < image.height) != (width < height):  # the camera turned the preview, not the photo
        turn = 1
        width, height = height, width
    exif[ExifTags.Base.Orientation] = turn
    with suppress(Exception):  # what cannot be written was no sound EXIF
        image.info["exif"] = exif.tobytes()
    image.info["whole_size"] = (width, height) if turn in (1, 3) else (height, width)
    return image


def _preview(raw: RawPy) -> Image.Image:
    """The largest preview, or what the sensor saw, at half its width, where there is none."""
    import rawpy

    try:
        preview = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        with BUDGET.lent(BYTES_A_PIXEL * raw.sizes.width * raw.sizes.height):
            # LibRaw turns it upright by itself, unless told not to
            return Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True, user_flip=0))
    if isinstance(preview.data, bytes):
        return Image.open(BytesIO(preview.data), formats=["JPEG"])
    return Image.fromarray(preview.data)

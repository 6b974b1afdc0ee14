"""Where in a photo the words fit: the cosine of every part with a sentence, laid over the photo as warmth.

What the parts hold is the tower's `regions`; how far they can be trusted, `python -m evaluation pointing` measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps

from indexer.atomic import atomic_write, writing
from indexer.encoders.base import Encoder, SeeingTower
from indexer.errors import EncoderUnavailable, PathError, QueryError, SourceError
from indexer.items import Float32Array
from indexer.modalities import open_image
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb, upright_size
from search.languages import in_any_language

# What Pillow calls the formats in which the image can be written.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

# The longer side of a photo as it is drawn, pixels: finer than the heat by far, and easily sent to somebody.
SIDE = 640

# Photos in a row, the plain one among them.
ACROSS = 3

# Height of a caption and of its letters, and what stays free around a photo, pixels.
CAPTION, LETTERS, MARGIN = 32, 18, 8

# Matplotlib's "inferno" (van der Walt and Smith, 2015; CC0) at even steps, at most 7 of 255 off in between: its
# lightness rises evenly, so that warmer looks warmer also to those who see few colours and on grey paper.
INFERNO = (
    *((0, 0, 4), (11, 7, 36), (33, 12, 74), (61, 9, 101), (87, 16, 110), (113, 25, 110), (138, 34, 106)),
    *((163, 44, 97), (188, 55, 84), (208, 69, 69), (227, 89, 51), (241, 113, 31), (249, 140, 10), (252, 170, 15)),
    *((249, 201, 50), (242, 232, 101), (252, 255, 164)),
)

# How much of what is seen is heat and how much photo, where it is coldest and where it is warmest.
COLDEST, WARMEST = 0.5, 0.65


class Heat(NamedTuple):
    """How a sentence fits a photo and its parts.

    `score` is the cosine of the sentence with the whole photo, `cells` `[h, w]` those with its parts. `box` is what
    the cells cover: left, top, right, bottom as shares of the photo's width and height, perhaps beyond its edges.
    """

    sentence: str
    score: float
    cells: Float32Array
    box: tuple[float, float, float, float]

    @property
    def peak(self) -> float:
        """The cosine with the part that fits best."""
        return float(self.cells.max())

    @property
    def place(self) -> tuple[float, float]:
        """The middle of the part that fits best, from the left and from the top, as shares of width and height."""
        row, column = np.unravel_index(int(self.cells.argmax()), self.cells.shape)
        left, top, right, bottom = self.box
        high, wide = self.cells.shape
        across = left + (right - left) * (float(column) + 0.5) / wide
        down = top + (bottom - top) * (float(row) + 0.5) / high
        return min(max(across, 0.0), 1.0), min(max(down, 0.0), 1.0)


def heats(encoder: Encoder, photo: Path, sentences: Sequence[str], *, part: str = "") -> list[Heat]:
    """How each sentence fits the photo, or a shot that is `part` of a film, and the its parts.

    Raises `QueryError` for a photo that cannot be read and where there is no sentence, `EncoderUnavailable` for an
    encoder that cannot say what it sees where.
    """
    if not all(sentence.strip() for sentence in sentences) or not sentences:
        raise QueryError(f'Say what to look for in the photo, as in `descry explain {photo} "a red car"`.')
    tower = encoder.tower("image")
    if not isinstance(tower, SeeingTower):
        raise EncoderUnavailable(f"The encoder {encoder.name} cannot say what it sees where: try --model embedded.")
    try:
        rows, box = tower.regions(open_image(photo, part))
        (whole,) = encoder.embed("image", [open_image(photo, part)])
        size = upright_size(open_image(photo, part))
    except SourceError as error:
        raise QueryError(f"{photo} cannot be explained: {error}.") from error
    shares = box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]
    vectors = in_any_language(encoder, sentences, partial(encoder.embed, "text"))
    return [
        Heat(sentence, float(whole @ vector), rows @ vector, shares)
        for sentence, vector in zip(sentences, vectors, strict=True)
    ]


def draw(photo: Path, heats: Sequence[Heat]) -> Image.Image:
    """The photo, and beside it once more for each sentence with its heat laid over, captions below.

    Warmth is relative to this photo and these sentences: what fits no better than their parts do on average stays
    dark, the part that fits best of all is bright yellow. Raises `SourceError`.
    """
    plain = ImageOps.contain(upright_rgb(open_photo(photo), side=SIDE), (SIDE, SIDE))
    low = float(np.mean([heat.cells for heat in heats]))
    high = max(heat.peak for heat in heats)
    warm = [
        (warmed(plain, heat, low, high), f"{heat.score:.2f}, at best {heat.peak:.2f}   {heat.sentence}")
        for heat in heats
    ]
    return _sheet([(plain, photo.name), *warm])


def warmed(plain: Image.Image, heat: Heat, low: float, high: float) -> Image.Image:
    """A photo in grey with heat laid over it: `low` and all below it black, `high` brightest; unseen edges are grey."""
    cosines, seen = _upsampled(heat, plain.size)
    warmth = np.clip((cosines - low) / max(high - low, 1e-6), 0, 1)
    share = np.where(seen, COLDEST + (WARMEST - COLDEST) * warmth, 0)[..., np.newaxis]
    grey = np.asarray(ImageOps.grayscale(plain), np.float32)[..., np.newaxis]
    mixed = (1 - share) * grey + share * inferno(warmth)  # (h, w, 1), (h, w, 3) -> (h, w, 3)
    return Image.fromarray(mixed.round().astype(np.uint8))


def _upsampled(heat: Heat, size: tuple[int, int]) -> tuple[Float32Array, npt.NDArray[np.bool_]]:
    """The cells' cosines for every pixel of a photo, `[h, w]`, and whether the encoder saw the pixel."""
    width, height = size
    left, right = (round(heat.box[side] * width) for side in (0, 2))
    top, bottom = (round(heat.box[side] * height) for side in (1, 3))
    fine = Image.fromarray(heat.cells.astype(np.float32)).resize((right - left, bottom - top), Image.Resampling.BICUBIC)
    everywhere = Image.new("F", size)
    everywhere.paste(fine, (left, top))
    seen = np.zeros((height, width), bool)
    seen[max(top, 0) : bottom, max(left, 0) : right] = True
    return np.asarray(everywhere), seen


def inferno(warmth: Float32Array) -> Float32Array:
    """Colours, `[..., 3]` in 0..255, of warmths in 0..1."""
    steps = np.linspace(0, 1, len(INFERNO))
    channels = [np.interp(warmth, steps, values) for values in zip(*INFERNO, strict=True)]
    return np.stack(channels, axis=-1).astype(np.float32)


def _sheet(images: Sequence[tuple[Image.Image, str]]) -> Image.Image:
    """Images of one size in rows, each with its caption below."""
    width, height = (side + MARGIN for side in images[0][0].size)
    rows = -(-len(images) // ACROSS)
    sheet = Image.new("RGB", (width * min(ACROSS, len(images)) + MARGIN, (height + CAPTION) * rows + MARGIN), "white")
    pen, letters = ImageDraw.Draw(sheet), ImageFont.load_default(LETTERS)
    for number, (one, caption) in enumerate(images):
        left, top = MARGIN + width * (number % ACROSS), MARGIN + (height + CAPTION) * (number // ACROSS)
        sheet.paste(one, (left, top))
        pen.text((left, top + height), _cut(caption, letters, one.width), fill="black", font=letters)
    return sheet


def _cut(caption: str, letters: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """As much of a caption as has room."""
    caption = " ".join(caption.split())
    if letters.getlength(caption) <= width:
        return caption
    kept = next(end for end in range(len(caption), -1, -1) if letters.getlength(f"{caption[:end]}…") <= width)
    return f"{caption[:kept]}…"


def place_for(photo: Path, wanted: Path | None, *, overwrite: bool = False) -> Path:
    """Where the image is written: as wanted, else beside nothing that is there already, in the current folder.

    Raises `PathError` for a name of no format, and for a file that is there unless it may be written over; the photo
    itself may never.
    """
    if wanted is None:
        names = chain([""], (f" ({number})" for number in count(2)))
        return next(place for name in names if not (place := Path(f"{photo.stem}-explained{name}.png")).exists())
    if wanted.suffix.lower() not in FORMATS:
        raise PathError(f"{wanted} names no kind of image: end it in {', '.join(FORMATS)}.")
    if wanted.exists() and (not overwrite or wanted.samefile(photo)):
        raise PathError(
            f"{wanted} is there already: choose another name{'' if wanted.samefile(photo) else ', or add --overwrite'}."
        )
    return wanted


def save(drawn: Image.Image, place: Path) -> None:
    """Writes the image, whole or not at all. Raises `PathError`."""
    with writing(place), atomic_write(place) as new:
        drawn.save(new, FORMATS[place.suffix.lower()])


def rows(heats: Sequence[Heat]) -> list[dict[str, Any]]:
    """What the image says in numbers: cosines, and where the part that fits best is, in shares of the photo."""
    return [
        {
            "sentence": heat.sentence,
            "score": round(heat.score, 3),
            "best": round(heat.peak, 3),
            "from the left": round(heat.place[0], 2),
            "from the top": round(heat.place[1], 2),
        }
        for heat in heats
    ]

"""Whether a photo is black and white, toned like sepia, or in full colour: told by its pixels.

A photo without colours has one chroma at each luma: none, that of its tone, or a scanner's cast; beside it lies noise.
A colour photo of fog or snow has some small thing that lies elsewhere, and shows in a cell of a coarse grid.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from indexer.photos.pixels import small_rgb

BLACK_AND_WHITE, SEPIA, FULL = "black-and-white", "sepia", "full"

# Pillow's modes that hold no colours.
GREY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L")

# Cells along the longer side: each the mean of many pixels, in which noise is little, and a small thing is not.
SIDE = 64

# RGB of 0..255 to luma and the chroma of blue and of red: ITU-R BT.601, as JPEGs have them.
LUMA_AND_CHROMA = np.array(
    [[0.299, -0.168736, 0.5], [0.587, -0.331264, -0.418688], [0.114, 0.5, -0.081312]], np.float32
)

# A cell of this chroma is in no photo without colours; most others have one, and are done with in 0.05 ms.
COLOURFUL = 60.0

# Luma is looked at in steps of 8; tones in those between the darkest and the lightest that hold some cells.
STEP, STEPS = 8, 32
BETWEEN, HELD = slice(4, 27), 8

# The limits below are in units of 255, and were chosen by 16,131 photos of Flickr8k, COCO, OpenStax and IKEA, of which
# the doubtful 300 were looked at, and by photos made grey, noisy and brown; see docs/indexing.md.

# Black and white: how far cells lie from the chroma of their luma, as root of the mean square and at most; their
# greatest chroma; how blue they are on average, as snow and sky are.
NEUTRAL_SPREAD, NEUTRAL_MOST, NEUTRAL_CHROMA, NEUTRAL_BLUE = 1.2, 6.5, 11.0, 2.0

# Sepia: the same, the greatest chroma of any luma, and how far apart its darkest and lightest cells are, as those of
# beige things on beige are not; its mean yellow, and the least yellow and red of any luma.
SEPIA_SPREAD, SEPIA_MOST, SEPIA_CHROMA, SEPIA_RANGE = 2.2, 14.0, 45.0, 100.0
SEPIA_YELLOW, LEAST_YELLOW, LEAST_RED = 4.0, 2.0, -2.0

# Sepia as programs make it, by one matrix, is strong and of one hue, red by yellow: what lies beside it is measured by
# its chroma.
STRONG, HUES, STRONG_SPREAD, STRONG_MOST = 12.0, (0.3, 0.7), 0.17, 0.6


def colour_of(image: Image.Image) -> str:
    """`BLACK_AND_WHITE`, `SEPIA` or `FULL`, of an image that was opened. Raises `SourceError`."""
    return BLACK_AND_WHITE if image.mode in GREY_MODES else colour_of_pixels(small_rgb(image, side=SIDE))


def colour_of_pixels(pixels: npt.NDArray[np.uint8]) -> str:
    """The same of pixels `[h, w, 3]` sRGB, some `SIDE` along the longer side."""
    cells = pixels.reshape(-1, 3).astype(np.float32) @ LUMA_AND_CHROMA  # (n, 3) @ (3, 3) -> (n, 3)
    luma, chroma = cells[:, 0], cells[:, 1:]
    strengths = (chroma**2).sum(axis=1)
    strength, strongest = float(strengths.mean()) ** 0.5, float(strengths.max()) ** 0.5
    if strongest > COLOURFUL:
        return FULL
    steps = np.minimum(luma / STEP, STEPS - 1).astype(np.intp)
    counts = np.bincount(steps, minlength=STEPS)
    sums = np.stack([np.bincount(steps, chroma[:, i], STEPS) for i in range(2)], axis=1)
    tones = sums / np.maximum(counts, 1)[:, np.newaxis]
    beside = ((chroma - tones[steps]) ** 2).sum(axis=1)
    spread, most = float(beside.mean()) ** 0.5, float(beside.max()) ** 0.5
    yellow, red = -float(chroma[:, 0].mean()), float(chroma[:, 1].mean())
    if spread <= NEUTRAL_SPREAD and most <= NEUTRAL_MOST and strongest <= NEUTRAL_CHROMA and -yellow <= NEUTRAL_BLUE:
        return BLACK_AND_WHITE
    if strength > STRONG and HUES[0] * yellow <= red <= HUES[1] * yellow:
        is_narrow = spread <= max(SEPIA_SPREAD, STRONG_SPREAD * strength) and most <= STRONG_MOST * strongest
    else:
        is_narrow = spread <= SEPIA_SPREAD and most <= SEPIA_MOST
    held = tones[BETWEEN][counts[BETWEEN] >= HELD]  # [m, 2]
    if not is_narrow or yellow < SEPIA_YELLOW or not len(held) or np.ptp(luma) < SEPIA_RANGE:
        return FULL
    is_warm = -held[:, 0].max() >= LEAST_YELLOW and held[:, 1].min() >= LEAST_RED
    return SEPIA if is_warm and float((held**2).sum(axis=1).max()) ** 0.5 <= SEPIA_CHROMA else FULL

"""Colours as the encoders expect them, sRGB: what a photo's ICC profile says of its numbers is put into effect.

Little CMS, by Pillow, converts; a profile that is sRGB itself, as that of most photos is, costs nothing.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from PIL import ImageCms

# Steps of 255 by which a conversion may change a colour for the profile to count as sRGB: what converters that
# round differently differ by.
SAME = 2

# Levels a channel of the colours by which that is told.
LEVELS = (0, 16, 48, 80, 112, 144, 176, 208, 240, 255)

# How profiles call the colours that they describe, by Pillow's modes.
SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}


def srgb(image: Image.Image) -> Image.Image:
    """The image, without alpha, in sRGB and mode RGB, by its ICC profile if it has one that fits its colours."""
    mode = image.mode if image.mode in ("L", "CMYK", "LAB") else "RGB"
    profile = image.info.get("icc_profile") if mode != "LAB" else b""
    transform = _transform(profile, mode) if profile or mode == "LAB" else None
    if transform is None and mode == "L" and profile:  # grey that says which RGB it is
        mode, transform = "RGB", _transform(profile, "RGB")
    plain = image if image.mode == mode else image.convert(mode)
    if transform is not None:
        return transform.apply(plain)
    return plain if mode == "RGB" else plain.convert("RGB")


def can_wait(image: Image.Image) -> bool:
    """Whether an image can be resized before its colours are converted: a small square takes less than a whole photo.

    A photo of 12 megapixels at the decoder's scale takes 12 ms, its square 1.
    """
    return image.mode in ("RGB", "L") and not image.has_transparency_data


def srgb_pixels(pixels: npt.NDArray[np.uint8], image: Image.Image) -> npt.NDArray[np.uint8]:
    """Pixels `[h, w, 3]` of an `image` that were not converted because it `can_wait`, in sRGB; others as they are."""
    profile = image.info.get("icc_profile")
    if not profile or not can_wait(image):
        return pixels
    made = Image.fromarray(pixels).convert(image.mode)
    made.info["icc_profile"] = profile
    converted = srgb(made)
    return pixels if converted is made else np.array(converted)


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The conversion from a profile to sRGB; None if there is nothing to convert, or it fits no such colours."""
    from PIL import ImageCms  # late: few photos need it

    try:
        if mode == "LAB":
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            if source.profile.xcolor_space != SPACES[mode]:
                return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            # without its cache of the last colour, a transform can be used by several threads at once
            ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE,
        )
        return None if mode in ("RGB", "L") and _changes_nothing(transform, mode) else transform
    except Exception:  # profiles are broken in every imaginable way, and never worth losing a photo
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    colours = np.array([*product(LEVELS, repeat=3)] if mode == "RGB" else [(level,) * 3 for level in LEVELS], np.uint8)
    before = Image.fromarray(colours[np.newaxis])
    after = np.asarray(transform.apply(before.convert(mode)))
    return bool(np.abs(after.astype(int) - np.asarray(before)).max() <= SAME)

"""Films for the tests, made by PyAV: pictures that stand for some seconds each, so that every cut is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image

RATE = 10


def film(
    path: Path,
    pictures: Sequence[Image.Image | str],
    seconds: Sequence[float] | float = 2.0,
    *,
    size: tuple[int, int] = (128, 96),
    keys: int = 250,
    cuts: bool = True,
    rotation: int = 0,
    told: Mapping[str, str] | None = None,
    codec: str = "libx264",
) -> Path:
    """A film of these pictures or colours, each for so many seconds; with `cuts`, a cut begins with a key frame.

    Otherwise every so many `keys` frames are one. `told` are its metadata.
    """
    lengths = [seconds] * len(pictures) if isinstance(seconds, (int, float)) else seconds
    options = {"g": str(keys)}
    if codec == "libx264":
        options |= {"preset": "veryfast", "sc_threshold": "0", "forced-idr": "1"}
    with av.open(
        str(path), "w", options={"movflags": "use_metadata_tags"} if path.suffix in (".mp4", ".mov") else {}
    ) as container:
        container.metadata.update(told or {})
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for picture, length in zip(pictures, lengths, strict=True):
            image = picture if isinstance(picture, Image.Image) else Image.new("RGB", size, picture)
            pixels = np.asarray(image.convert("RGB").resize(size))
            for number in range(round(length * RATE)):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                if cuts and number == 0:
                    frame.pict_type = av.video.frame.PictureType.I
                for packet in stream.encode(frame):
                    container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path

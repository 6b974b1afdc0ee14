"""Films for the tests, made by PyAV: pictures that stand for some seconds each, so that every cut is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image

RATE = 10

# Samples of sound a second.
HEARD = 48_000


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
    sound: np.ndarray | None = None,
) -> Path:
    """A film of these pictures or colours, each for so many seconds; with `cuts`, a cut begins with a key frame.

    Otherwise every so many `keys` frames are one. `told` are its metadata, `sound` `[n]` is heard at `HEARD` a second.
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
        track = None if sound is None else container.add_stream("aac", rate=HEARD, layout="mono")
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
        if track is not None:
            put_sound(container, track, sound)
    return path


def record(path: Path, sound: np.ndarray, *, codec: str, told: Mapping[str, str] | None = None) -> Path:
    """A sound file of `[n]` samples at `HEARD` a second."""
    with av.open(str(path), "w") as container:
        container.metadata.update(told or {})
        put_sound(container, container.add_stream(codec, rate=HEARD, layout="mono"), sound)
    return path


def put_sound(container: av.container.OutputContainer, track: av.AudioStream, sound: np.ndarray) -> None:
    resampler = av.AudioResampler(
        format=track.format.name, layout="mono", rate=HEARD, frame_size=track.frame_size or 1024
    )
    frame = av.AudioFrame.from_ndarray(sound[np.newaxis].astype(np.float32), format="flt", layout="mono")
    frame.sample_rate, frame.pts = HEARD, 0
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(track.encode(piece))
    container.mux(track.encode())


def heard(path: Path) -> np.ndarray:
    """The sound of a file, `[n]` at `HEARD` a second."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=HEARD)
        frames = [*container.decode(audio=0), None]
        return np.concatenate([piece.to_ndarray()[0] for frame in frames for piece in resampler.resample(frame)])

"""Films: how many shots of known cuts become items, whether a question finds the right second, and what it costs.

A film is made of captioned photos, two to twelve seconds each; the picture drifts and zooms as one of a hand-held
camera does, over noise and changing light. Each photo's first caption is asked for among the film's shots.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from evaluation.datasets import Example
from indexer.chunks import distinct
from indexer.encoders import Encoder
from indexer.items import Float32Array
from indexer.modalities import video
from indexer.modalities.base import ReadOptions

# Photos of one film, and of the film by which it is timed; width, height and frames a second of both.
SHOTS, SHOTS_TIMED = 100, 10
SMALL, TIMED = (426, 240, 12), (1280, 720, 25)

# Seconds of a shot.
SHORTEST, LONGEST = 2.0, 12.0

# Cosines from which a look is the same shot as the one before.
SAME = (0.7, 0.8, 0.85, 0.9, 0.95)

# Seconds by which a shot may begin beside its cut.
BESIDE = 0.1


class Looks(NamedTuple):
    """The looks at a film: `times` in seconds, unit `rows` `[n, dim]`, CPU seconds of reading and of embedding."""

    times: list[float]
    rows: Float32Array
    reading: float
    embedding: float


def films(encoder: Encoder, examples: Sequence[Example], *, seed: int = 0) -> dict[str, Any]:
    """The table; the captioned photos of the film are drawn by chance."""
    chosen = random.Random(seed).sample(list(examples), min(SHOTS, len(examples)))
    with TemporaryDirectory(prefix="descry-films-") as folder:
        path = Path(folder, "film.mp4")
        cuts = make_film(path, [example.image() for example in chosen], SMALL, seed=seed)
        looks = look(encoder, path)
        timed = Path(folder, "timed.mp4")
        make_film(timed, [example.image() for example in chosen[:SHOTS_TIMED]], TIMED, seed=seed)
        cost = look(encoder, timed)
        (length,) = {item.facts["duration"] for item, _ in video.read(timed, _options())}
    asked = encoder.embed("text", [example.captions[0] for example in chosen])
    same = {f"cosine {cosine}": found(looks, cuts, asked, same=cosine) for cosine in SAME}
    return {
        "shots": len(cuts),
        "looks": len(looks.times),
        **{f"{name}: {what}": value for name, row in same.items() for what, value in row.items()},
        "720p: looks a minute": 60 * len(cost.times) / length,
        "720p: CPU seconds a minute, reading": 60 * cost.reading / length,
        "720p: CPU seconds a minute, embedding": 60 * cost.embedding / length,
    }


def found(looks: Looks, cuts: Sequence[float], asked: Float32Array, *, same: float) -> dict[str, float]:
    """Items, shares of shots that became one and that begin with it, and of questions that find theirs first."""
    kept = distinct(looks.rows, None, same)
    times = np.array(looks.times)[kept]
    owners = np.searchsorted(cuts, times + 1e-3) - 1  # the shot of each item
    first = {owner: times[owners == owner].min() for owner in set(owners.tolist())}
    begin = sum(abs(start - cuts[owner]) <= BESIDE for owner, start in first.items())
    best = owners[(asked @ looks.rows[kept].T).argmax(axis=1)]  # (questions, dim) @ (dim, items) -> (questions)
    return {
        "items": len(kept),
        "shots found": len(first) / len(cuts),
        "begin at their cut": begin / len(cuts),
        "right second first": float((best == np.arange(len(cuts))).mean()),
    }


def _options() -> ReadOptions:
    return ReadOptions(lambda _: True)


def look(encoder: Encoder, path: Path) -> Looks:
    """Looks at a film as indexing does."""
    tower = encoder.tower("image")
    began = time.process_time()
    pairs = [(float(item.part[1:]), tower.prepare(value)) for item, value in video.read(path, _options())]
    read = time.process_time()
    prepared = [array for _, array in pairs]
    rows = np.concatenate([tower.embed(prepared[start : start + 32]) for start in range(0, len(prepared), 32)])
    return Looks([second for second, _ in pairs], rows, read - began, time.process_time() - read)


def make_film(path: Path, photos: Sequence[Image.Image], shape: tuple[int, int, int], *, seed: int = 0) -> list[float]:
    """Writes a film in which each photo is a shot; the seconds at which the shots begin."""
    import av  # late: it is an extra

    chance = random.Random(seed)
    noise = np.random.default_rng(seed)
    width, height, rate = shape
    counts = [round(chance.uniform(SHORTEST, LONGEST) * rate) for _ in photos]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for photo, count in zip(photos, counts, strict=True):
            zooms = chance.choice([(1.0, 0.6), (0.6, 1.0), (0.75, 0.75)])
            ways = chance.uniform(-1, 1), chance.uniform(-1, 1)
            for number in range(count):
                box = _window(photo, number / count, zooms, ways)
                pixels = np.asarray(photo.convert("RGB").resize((width, height), Image.Resampling.BILINEAR, box))
                grain = noise.integers(-6, 7, (height, width, 1), np.int16) + (number % 20 - 10) // 2
                seen = np.clip(pixels + grain, 0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(seen, format="rgb24")))
        container.mux(stream.encode())
    return [0.0, *accumulate(count / rate for count in counts[:-1])]


def _window(
    photo: Image.Image, done: float, zooms: tuple[float, float], ways: tuple[float, float]
) -> tuple[float, float, float, float]:
    """The part of the photo that is seen when a share of the shot is over."""
    zoom = zooms[0] + (zooms[1] - zooms[0]) * done
    wide, high = photo.width * zoom, photo.height * zoom
    left, top = (
        (whole - part) / 2 * (1 + way * done) for whole, part, way in zip(photo.size, (wide, high), ways, strict=True)
    )
    return left, top, min(left + wide, photo.width), min(top + high, photo.height)

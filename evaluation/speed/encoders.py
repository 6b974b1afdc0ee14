"""How fast an encoder is on this machine: photos a second from JPEG files, milliseconds a sentence."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from indexer.encoders import Encoder

COUNT, BATCH, REPEATS = 256, 32, 20
SIZE = (640, 480)
QUERY = "two dogs playing in the snow"


def speed(encoder: Encoder, photos: Path) -> dict[str, float]:
    """Photos a second from 640x480 JPEGs, decoding included, and the median milliseconds of a warm text query."""
    files = _as_jpegs([Image.open(path).convert("RGB") for path in sorted(photos.glob("*.jpg"))])
    tower = encoder.tower("image")
    tower.embed([tower.prepare(Image.open(BytesIO(files[0])))] * BATCH)  # the first batch compiles kernels
    began = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        prepared = threads.map(
            lambda number: tower.prepare(Image.open(BytesIO(files[number % len(files)]))), range(COUNT)
        )
        batch = []
        for one in prepared:
            batch.append(one)
            if len(batch) == BATCH:
                tower.embed(batch)
                batch = []
    rate = COUNT / (time.perf_counter() - began)
    return {
        "photos a second": rate,
        "milliseconds a query": 1000 * _median_seconds(lambda: encoder.embed("text", [QUERY])),
    }


def _as_jpegs(pictures: list[Image.Image]) -> list[bytes]:
    files = []
    for picture in pictures:
        buffer = BytesIO()
        picture.resize(SIZE).save(buffer, "JPEG", quality=85)
        files.append(buffer.getvalue())
    return files


def _median_seconds(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times))

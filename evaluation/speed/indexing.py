"""Indexing beside its two parts: embedding alone on ready arrays, and decoding alone.

Both parts can use every core, and then neither can hide behind the other: the least time for both is the sum of
theirs, which is what the pipeline is compared with where the encoder runs on the processor. Where it runs on a GPU,
it is the longer of the two. Libraries are made beforehand: what a model's text tower takes to be written down is
paid once, and has nothing to do with photos.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from evaluation.speed.clock import best_seconds
from evaluation.speed.figures import Aim, Figure
from evaluation.speed.processes import descry, taken
from evaluation.speed.setting import Setting
from indexer import Library, index_sources
from indexer.encoders import Encoder, load_encoder
from indexer.encoders.base import Tower
from indexer.photos.opening import open_photo
from indexer.pipeline import BATCH, UNDER_WAY
from indexer.threads import ahead

ROUNDS = 3

# Of the slower of the two parts, or of both together.
NEARLY = Aim(least=0.95)


@dataclass(frozen=True, slots=True)
class Photos:
    """Photos of one size: so many that filling the first batch and storing the last one do not matter."""

    name: str
    width: int
    height: int
    count: int


SIZES = (Photos("640x480", 640, 480, 1024), Photos("12 MP", 4000, 3000, 192))


def measure(setting: Setting) -> Iterator[Figure]:
    """The pipeline's rate for each encoder and size of photos, its two parts' rates, processor time and memory."""
    for photos in SIZES:
        folder = setting.jpegs(photos.width, photos.height, photos.count)
        for label, name, _ in setting.names():
            encoder = load_encoder(name, device=setting.device)
            yield from rates(f"{label}, {photos.name}", encoder, sorted(folder.iterdir()))
            yield from _process(f"{label}, {photos.name}", name, folder)


def rates(label: str, encoder: Encoder, files: Sequence[Path]) -> Iterator[Figure]:
    """Photos a second, all by turns."""
    tower = encoder.tower("image")
    ready = [tower.prepare(open_photo(path)) for path in files[:BATCH]]
    tower.embed(ready)  # the first batch compiles kernels
    spent: list[float] = []
    with ExitStack() as stack:
        libraries = [stack.enter_context(_library(encoder)) for _ in range(ROUNDS)]
        seconds = best_seconds(
            {
                "embedding": lambda: embed(tower, ready, len(files) // BATCH),
                "decoding": lambda: decode(tower, files),
                "pipeline": lambda: spent.append(_processor_seconds(lambda: _index(libraries.pop(), encoder, files))),
            },
            ROUNDS,
        )
    count = {"embedding": len(files) // BATCH * BATCH}
    rate = {name: count.get(name, len(files)) / took for name, took in seconds.items()}
    shared = 1 / (1 / rate["embedding"] + 1 / rate["decoding"])
    slower = min(("embedding", "decoding"), key=rate.__getitem__)
    yield Figure(f"{label}: embedding alone", rate["embedding"], "photos/s")
    yield Figure(f"{label}: decoding alone", rate["decoding"], "photos/s")
    yield Figure(f"{label}: pipeline", rate["pipeline"], "photos/s", rate[slower], f"{slower} alone", NEARLY)
    yield Figure(
        f"{label}: pipeline beside both", rate["pipeline"], "photos/s", shared, "both on the same cores", NEARLY
    )
    yield Figure(f"{label}: processor time", 1000 * min(spent) / len(files), "ms a photo")


def embed(tower: Tower, ready: Sequence[npt.NDArray[Any]], times: int) -> None:
    """Embeds a batch so many times, as many at once as the pipeline does."""
    with ThreadPoolExecutor(UNDER_WAY) as threads:
        for _ in threads.map(tower.embed, [ready] * times):
            pass


def decode(tower: Tower, files: Sequence[Path]) -> None:
    """Opens and prepares every photo on all cores, and does nothing with it."""
    for _ in ahead(lambda path: tower.prepare(open_photo(path)), files):
        pass


@contextmanager
def _library(encoder: Encoder) -> Iterator[Library]:
    """An empty library for the encoder, for as long as it is needed; its text tower is not written down."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Library.create(Path(folder) / "library", replace(encoder, store_text=None)) as library,
    ):
        yield library


def _index(library: Library, encoder: Encoder, files: Sequence[Path]) -> None:
    report = index_sources(library, [files[0].parent], encoder)
    assert report.embedded == len(files), report


def _processor_seconds(call: Callable[[], object]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    call()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _process(label: str, name: str, folder: Path) -> Iterator[Figure]:
    """The whole command, started anew: what a user waits for and what it takes at most at once."""
    with tempfile.TemporaryDirectory() as place:
        took = taken(descry("--library", Path(place) / "library", "index", folder, "--model", name))
    yield Figure(f"{label}: `descry index`, processor time with the start", took.cpu_seconds, "s")
    yield Figure(f"{label}: `descry index`, memory", took.megabytes, "MB")

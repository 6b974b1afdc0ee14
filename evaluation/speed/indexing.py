"""Indexing beside its two parts: embedding alone on ready arrays, and decoding alone.

Both parts can use every core, and then neither can hide behind the other: the least time for both is the sum of
theirs, which is what the pipeline is compared with where the encoder runs on the processor. Where it runs on a GPU,
it is the longer of the two.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.speed.clock import best_seconds
from evaluation.speed.figures import Aim, Figure
from evaluation.speed.processes import descry, taken
from evaluation.speed.setting import Setting
from indexer import Library, index_sources
from indexer.encoders import Encoder, load_encoder
from indexer.encoders.base import Tower
from indexer.pictures import open_picture
from indexer.pipeline import BATCH
from indexer.threads import ahead

ROUNDS = 3

# Of the slower of the two parts, or of both together.
NEARLY = Aim(least=0.95)


@dataclass(frozen=True, slots=True)
class Photos:
    """Photos of one size: `many` for a small encoder, `few` for a large one, some seconds of work each."""

    name: str
    width: int
    height: int
    many: int
    few: int


SIZES = (Photos("640x480", 640, 480, 512, 96), Photos("12 MP", 4000, 3000, 96, 48))


def measure(setting: Setting) -> Iterator[Figure]:
    """The pipeline's rate for each encoder and size of photos, its two parts' rates, processor time and memory."""
    for photos in SIZES:
        for label, name, is_large in setting.names():
            folder = setting.jpegs(photos.width, photos.height, photos.few if is_large else photos.many)
            encoder = load_encoder(name, device=setting.device)
            yield from rates(f"{label}, {photos.name}", encoder, sorted(folder.iterdir()))
            yield from _process(f"{label}, {photos.name}", name, folder)


def rates(label: str, encoder: Encoder, files: Sequence[Path]) -> Iterator[Figure]:
    """Photos a second, all by turns."""
    tower = encoder.tower("image")
    ready = [tower.prepare(open_picture(path)) for path in files[:BATCH]]
    tower.embed(ready)  # the first batch compiles kernels
    spent: list[float] = []
    seconds = best_seconds(
        {
            "embedding": lambda: [tower.embed(ready) for _ in range(len(files) // BATCH)],
            "decoding": lambda: decode(tower, files),
            "pipeline": lambda: spent.append(_processor_seconds(lambda: _index(encoder, files))),
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


def decode(tower: Tower, files: Sequence[Path]) -> None:
    """Opens and prepares every photo on all cores, and does nothing with it."""
    for _ in ahead(lambda path: tower.prepare(open_picture(path)), files):
        pass


def _index(encoder: Encoder, files: Sequence[Path]) -> None:
    with tempfile.TemporaryDirectory() as folder, Library.create(Path(folder) / "library", encoder) as library:
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
    yield Figure(f"{label}: `descry index`, memory", took.megabytes, "MB")

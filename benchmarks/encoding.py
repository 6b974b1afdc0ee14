"""How long photos take: embedding beside torch's float32, the bare encoder beside matrices, indexing beside its parts.

Nothing in a network is quicker than multiplying large matrices on the same device. Embedding and decoding can both use
every core, and then neither can hide behind the other: where the encoder runs on the processor, the pipeline is
compared with the sum of their times; where it has a GPU, with the longer of the two. Libraries are made beforehand:
what a text tower takes to be written down is paid once, and has nothing to do with photos.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.figures import Aim, Figure
from benchmarks.machine import best_seconds, descry, taken
from benchmarks.setting import Setting
from indexer import Library, index_sources
from indexer.encoders import Encoder, load_encoder
from indexer.encoders.base import Tower, unit_rows
from indexer.encoders.devices import pick_device, pick_dtype
from indexer.encoders.open_clip_source import quiet
from indexer.items import Float32Array
from indexer.photos.opening import open_photo
from indexer.pipeline import BATCH, UNDER_WAY
from indexer.threads import ahead

# embedding, beside torch

EIGHT, BATCHES, ENCODED = 8, 4, 3

FASTER, TRUE = Aim(least=2.3), Aim(least=0.999)


def encoding(setting: Setting) -> Iterator[Figure]:
    """Photos a second of ready arrays, and the smallest cosine between the vectors of both ways."""
    import open_clip  # late: the other measurements do without
    import torch

    name = setting.checkpoint()
    tower = load_encoder(name, device=setting.device).tower("image")
    files = sorted(setting.jpegs(640, 480, EIGHT * BATCHES).iterdir())
    ready = [tower.prepare(open_photo(path)) for path in files]
    batches = [ready[at : at + EIGHT] for at in range(0, len(ready), EIGHT)]
    with quiet():
        model, _, transform = open_clip.create_model_and_transforms(
            setting.reference, pretrained=name.partition("/")[2]
        )
    model.eval()
    tensors = [
        torch.stack([transform(Image.open(path)) for path in files[at : at + EIGHT]])
        for at in range(0, len(files), EIGHT)
    ]

    def plain() -> list[Any]:
        with torch.inference_mode():
            return [model.encode_image(batch) for batch in tensors]

    ours = np.concatenate([tower.embed(batch) for batch in batches])
    theirs: Float32Array = unit_rows(torch.cat(plain()).numpy())
    took = best_seconds({"tower": lambda: [tower.embed(batch) for batch in batches], "torch": plain}, ENCODED)
    rates = {way: len(files) / seconds for way, seconds in took.items()}
    label = f"{setting.reference}, batches of {EIGHT}"
    yield Figure(label, rates["tower"], "photos/s", rates["torch"], "torch in float32", FASTER)
    yield Figure(f"{label}, smallest cosine", float((ours * theirs).sum(1).min()), "", aim=TRUE)


# the bare encoder, beside matrices

MULTIPLIED = 5

# On a processor: photos that are embedded in one call, the matrices' side, and how often they are multiplied.
PHOTOS, SIDE, TIMES = 2 * BATCH, 2048, 2
# On a GPU, some tens of milliseconds each on a large one. Estimates until measured.
GPU_PHOTOS, GPU_SIDE, GPU_TIMES = 1024, 8192, 16

# Photos that the pipeline takes from files on a GPU, and the least of the bare encoder's rate.
FILES, FROM_FILES = 2048, Aim(least=0.9)


def multiplying(setting: Setting) -> Iterator[Figure]:
    """The matrices' rate; with a reference model, its share of that, and on a GPU the pipeline's share of its rate."""
    device = pick_device(setting.device)
    dtype = pick_dtype(device)
    photos, side, times = (PHOTOS, SIDE, TIMES) if device.type == "cpu" else (GPU_PHOTOS, GPU_SIDE, GPU_TIMES)
    calls: dict[str, Callable[[], object]] = {"matrices": multiplication(side, times, device, dtype)}
    if setting.reference:
        encoder = load_encoder(setting.checkpoint(), device=setting.device)
        calls["encoder"] = embedding(encoder.tower("image"), photos)
    for call in calls.values():
        call()  # the first one wakes the device, and records or compiles what it needs
    seconds = best_seconds(calls, MULTIPLIED)
    peak = times * 2 * side**3 / seconds["matrices"] / 1e12
    label = f"matrices of {side} x {side} in {str(dtype).removeprefix('torch.')}"
    yield Figure(label, peak, "TFLOP/s")
    if not setting.reference:
        return
    rate = photos / seconds["encoder"]
    yield Figure(f"{setting.reference}, bare encoder", rate, "photos/s")
    multiplied = rate * flops(setting.reference) / 1e12
    yield Figure(f"{setting.reference}, multiplied in the bare encoder", multiplied, "TFLOP/s", peak, label)
    if device.type != "cpu":
        files = sorted(setting.jpegs(640, 480, FILES).iterdir())
        yield from_files(setting.reference, encoder, files, rate)


def multiplication(side: int, times: int, device: torch.device, dtype: torch.dtype) -> Callable[[], object]:
    """A call that multiplies two square matrices so many times, and returns when that is done."""
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(left)

    def multiply() -> float:
        for _ in range(times):
            torch.mm(left, right, out=product)
        return product[0, 0].item()  # a number on this side is there when all before it is

    return multiply


def embedding(tower: Tower, count: int) -> Callable[[], Float32Array]:
    """A call that embeds so many ready photos; by chance, because what it takes does not depend on them."""
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    photo = tower.prepare(Image.fromarray(noise))
    photos = [photo.copy(order="K") for _ in range(count)]  # each its own memory, laid out as it was prepared
    return lambda: tower.embed(photos)


def flops(architecture: str) -> int:
    """Multiplications and additions with which an open_clip model embeds one photo; its matrices and convolutions."""
    import open_clip  # late: slow

    with quiet():
        model = open_clip.create_model(architecture, device="meta").eval()
    size = model.visual.image_size
    height, width = (size, size) if isinstance(size, int) else size
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.encode_image(torch.empty(1, 3, height, width, device="meta"))
    return int(counter.get_total_flops())


def from_files(label: str, encoder: Encoder, files: Sequence[Path], bare: float) -> Figure:
    """The pipeline's rate over files, beside the `bare` encoder's."""
    figures = {figure.name: figure.value for figure in rates(label, encoder, files)}
    name = f"{label}: pipeline"
    return Figure(f"{name} from files", figures[name], "photos/s", bare, "the bare encoder", FROM_FILES)


# indexing, beside its parts

INDEXED = 3

# Of the slower of the two parts, or of both together.
NEARLY = Aim(least=0.95)


# Width, height and number of photos: so many that filling the first batch and storing the last one do not matter.
INDEXED_PHOTOS = {"640x480": (640, 480, 1024), "12 MP": (4000, 3000, 192)}


def indexing(setting: Setting) -> Iterator[Figure]:
    """The pipeline's rate for each encoder and size of photos, its two parts' rates, processor time and memory."""
    for size, photos in INDEXED_PHOTOS.items():
        folder = setting.jpegs(*photos)
        for label, name, _ in setting.names():
            encoder = load_encoder(name, device=setting.device)
            yield from rates(f"{label}, {size}", encoder, sorted(folder.iterdir()))
            with tempfile.TemporaryDirectory() as place:  # the whole command, started anew
                took = taken(descry("--library", Path(place) / "library", "index", folder, "--model", name))
            command = f"{label}, {size}: `descry index`"
            yield Figure(f"{command}, processor time with the start", took.cpu_seconds, "s")
            yield Figure(f"{command}, memory", took.megabytes, "MB")


def rates(label: str, encoder: Encoder, files: Sequence[Path]) -> Iterator[Figure]:
    """Photos a second, all by turns."""
    tower = encoder.tower("image")
    ready = [tower.prepare(open_photo(path)) for path in files[:BATCH]]
    tower.embed(ready)  # the first batch compiles kernels
    spent: list[float] = []

    def pipeline() -> None:
        began = time.process_time()
        report = index_sources(libraries.pop(), [files[0].parent], encoder)
        assert report.embedded == len(files), report
        spent.append(time.process_time() - began)

    with ExitStack() as stack, ThreadPoolExecutor(UNDER_WAY) as threads:  # as many at once as the pipeline embeds
        libraries = [stack.enter_context(_library(encoder)) for _ in range(INDEXED)]
        seconds = best_seconds(
            {
                "embedding": lambda: list(threads.map(tower.embed, [ready] * (len(files) // BATCH))),
                "decoding": lambda: all(ahead(lambda path: tower.prepare(open_photo(path)) is not None, files)),
                "pipeline": pipeline,
            },
            INDEXED,
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


@contextmanager
def _library(encoder: Encoder) -> Iterator[Library]:
    """An empty library for the encoder, for as long as it is needed; its text tower is not written down."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Library.create(Path(folder) / "library", replace(encoder, store_text=None)) as library,
    ):
        yield library

"""The bare encoder beside the rate at which the same device multiplies large matrices: what it makes of the chip.

Nothing in a network is quicker than that. The pipeline from files is told beside the bare encoder where the encoder has
a device of its own; on the processor both share the cores, and `indexing` tells their sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from evaluation.speed.clock import best_seconds
from evaluation.speed.figures import Aim, Figure
from evaluation.speed.indexing import rates
from evaluation.speed.setting import Setting
from indexer.encoders import Encoder, load_encoder
from indexer.encoders.base import Tower
from indexer.encoders.devices import pick_device, pick_dtype
from indexer.encoders.open_clip_source import quiet
from indexer.items import Float32Array
from indexer.pipeline import BATCH

ROUNDS = 5

# On a processor: photos that are embedded in one call, the matrices' side, and how often they are multiplied.
PHOTOS, SIDE, TIMES = 2 * BATCH, 2048, 2
# On a GPU, some tens of milliseconds each on a large one. Estimates until measured.
GPU_PHOTOS, GPU_SIDE, GPU_TIMES = 1024, 8192, 16

# Photos that the pipeline takes from files on a GPU, and the least of the bare encoder's rate.
FILES, FROM_FILES = 2048, Aim(least=0.9)


def measure(setting: Setting) -> Iterator[Figure]:
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
    seconds = best_seconds(calls, ROUNDS)
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

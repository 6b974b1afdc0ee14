"""Which device a model runs on, and how a batch goes through it: on a CPU in pieces over the cores, on a GPU as graphs.

A model for small pictures is hundreds of short kernels, and starting each takes a processor longer than a large GPU
needs for it. A CUDA graph starts them all at once (Gray, "Getting Started with CUDA Graphs", 2019); it is bound to its
memory, so that batches are cut into pieces of fixed sizes. `torch.compile` would record the same graphs, but compiles
in every process, and wants Triton and a C compiler. Pieces go there from pinned memory: while one is computed the next
one is put together.

On a CPU each piece has one thread: torch's own way, all threads on one layer after another, makes them wait for each
other, spinning, while photos are decoded on the same cores. And a piece's layers stay in its core's cache.

Photos are decoded on all cores of the processor, beside a GPU too: torchvision's decoder on CUDA takes JPEGs alone,
leaves a photo lying as the camera lay, and has been deprecated since 0.29.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier, Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from indexer.encoders.base import unit_rows
from indexer.encoders.resizing import channels_last
from indexer.errors import EncoderUnavailable
from indexer.items import Float32Array

# Values of a piece: what indexing embeds at once, and what fills a large GPU. Estimates until measured on one:
# 128 pictures of ViT-B/32 are matrices of 6,400 rows.
SIZES = (32, 128)

# Fewer values, a question's, are not worth recording for. An estimate until measured.
FEWEST = 8

# Runs before a recording, in which libraries choose their kernels and take their memory: as PyTorch's notes advise.
WARM_UPS = 3

# Only one recording may be under way in a process, and a graph is for one batch at a time.
_turn = Lock()

Step = Callable[[Tensor], Tensor]
Run = Callable[[Sequence[npt.NDArray[Any]]], Tensor]


def pick_device(device: str = "auto") -> torch.device:
    """The torch device of that name; `auto` is CUDA where there is one, else Apple's MPS, else the CPU.

    Raises `EncoderUnavailable`, naming the devices that exist, if the one asked for does not.
    """
    existing = existing_devices()
    if device == "auto":
        return torch.device(existing[0])
    if device not in existing and device != "cuda":
        raise EncoderUnavailable(f"There is no device {device!r} here; choose auto, {', '.join(existing)}.")
    if device == "cuda" and existing[0] != "cuda:0":
        raise EncoderUnavailable(f"There is no CUDA device here; choose auto, {', '.join(existing)}.")
    return torch.device(device)


def existing_devices() -> list[str]:
    """The names of the devices of this machine, the fastest first; the CPU is always there and last."""
    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def pick_dtype(device: torch.device) -> torch.dtype:
    """The number format in which a model of a few million weights is fast and exact enough on a device.

    bfloat16 on CUDA and on CPUs that multiply it in hardware (AMX, AVX512-BF16: 2 to 7 times float32 here),
    float32 elsewhere.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and _cpu_multiplies_bfloat16():
        return torch.bfloat16
    return torch.float32


def _cpu_multiplies_bfloat16() -> bool:
    """Whether torch multiplies bfloat16 with instructions that this CPU has for it: without, it takes several times as
    long as float32.

    Torch may be told not to use them (ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA), or be too old to say.
    """
    try:
        kernels = torch.backends.cpu.get_cpu_capability()
        onednn = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        told = torch.cpu.get_capabilities()
    except (AttributeError, RuntimeError):
        return False
    return bool(onednn and kernels not in ("DEFAULT", "AVX2") and (told.get("amx_bf16") or told.get("avx512_bf16")))


def runner(function: Step, device: torch.device, *, piece: int | None = None) -> Run:
    """Runs `function`, which treats each value of a batch `[n, ...]` on the device alone, over prepared values.

    Its weights must not be exchanged any more. On a CPU `piece` are the values that one core does best at once;
    without, the batch goes through whole.
    """
    if device.type == "cuda":
        return GraphRunner(function, device)
    if device.type == "cpu" and piece is not None:
        pool = ThreadPool(function, piece=piece)
        return lambda values: pool(batch_of(values))
    return lambda values: function(batch_of(values).to(device))


class TorchTower:
    """What towers on torch share: a batch goes through `_run`, which gives vectors of any length."""

    _run: Run
    dimension: int

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """A batch of prepared values as unit rows `[n, dim]` float32."""
        if not prepared:
            return np.zeros((0, self.dimension), dtype=np.float32)
        with torch.inference_mode():
            return unit_rows(self._run(prepared).cpu().numpy())


class GraphRunner:
    """Runs a function on a CUDA device by its recordings.

    A function that cannot be recorded (it asks the device something on its way) is run as it is.
    """

    def __init__(self, function: Step, device: torch.device) -> None:
        self._function, self._device = function, device
        self.recorded: dict[int, RecordedGraph | None] = {}

    def __call__(self, values: Sequence[npt.NDArray[Any]]) -> Tensor:
        """The function's answers to the prepared values, at least one, in their order."""
        with torch.inference_mode(), torch.cuda.device(self._device), _turn:
            if len(values) < FEWEST:
                return self._function(batch_of(values).to(self._device))
            return torch.cat([self._answer(values[part], size) for part, size in pieces_of(len(values), SIZES)])

    def _answer(self, values: Sequence[npt.NDArray[Any]], size: int) -> Tensor:
        batch = batch_of(values)
        if self._device.type == "cuda":  # torch keeps the pinned memory until it is copied
            batch = batch.pin_memory().to(self._device, non_blocking=True)
        if size not in self.recorded:
            like = torch.cat([batch[:1]] * size)  # laid out as batches are
            self.recorded[size] = recording_of(self._function, like, self._device)
        return (self.recorded[size] or self._function)(batch)


@dataclass(frozen=True, slots=True)
class RecordedGraph:
    """A function's kernels, bound to the memory of one batch and of its answer."""

    graph: torch.cuda.CUDAGraph
    batch: Tensor
    answer: Tensor

    def __call__(self, batch: Tensor) -> Tensor:
        """The answer to a batch of the same size, or of a smaller one: behind it is what lay there before."""
        self.batch[: len(batch)].copy_(batch)
        self.graph.replay()
        return self.answer[: len(batch)].clone()


def recording_of(function: Step, batch: Tensor, device: torch.device) -> RecordedGraph | None:
    """The function recorded for batches of this size and layout, whose memory it keeps; None if it cannot be."""
    graph, aside = torch.cuda.CUDAGraph(), torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    current = torch.cuda.current_stream(device)
    aside.wait_stream(current)
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            function(batch)
    current.wait_stream(aside)
    try:
        with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            answer = function(batch)
    except RuntimeError:  # what CUDA does not record; out of memory too, which the function as it is may escape
        return None
    return RecordedGraph(graph, batch, answer)


class ThreadPool:
    """Calls a function of a batch with pieces of it, on as many threads as torch may use.

    `function` takes `[n, ...]` and gives `[n, ...]` and treats each of the `n` alone; `piece` is how many it does best
    at once.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], *, piece: int) -> None:
        self._function, self._piece = function, piece
        self._threads = torch.get_num_threads()
        self._pool = _single_threads(self._threads)

    def __call__(self, batch: Tensor) -> Tensor:
        """The function's answer to the whole batch, in its order; `batch` holds at least one."""
        if len(batch) == 1:  # nobody else is at work then: all threads on one layer after another are quickest
            return self._inferred(batch)
        rounds = -(-len(batch) // (self._threads * self._piece))
        pieces = batch.tensor_split(min(len(batch), self._threads * rounds))
        return torch.cat(list(self._pool.map(self._inferred, pieces)))

    def _inferred(self, piece: Tensor) -> Tensor:
        with torch.inference_mode():  # it holds for one thread
            return self._function(piece)


def _single_threads(count: int) -> ThreadPoolExecutor:
    """So many threads, on each of which torch uses no others."""
    ready = Barrier(count + 1)

    def begin() -> None:
        torch.get_num_threads()  # the first call on a thread takes over the number last set anywhere
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="descry-tower", initializer=begin)
    for _ in range(count):
        pool.submit(int)
    ready.wait()
    # the number is the thread's own, but the last one set is also what threads begin with that are still to come
    torch.set_num_threads(count)
    return pool


def pieces_of(count: int, sizes: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """Parts of a batch and the fixed size that each is computed in: the largest it fills, the smallest at the end.

    >>> [(part.start, part.stop, size) for part, size in pieces_of(150, (32, 128))]
    [(0, 128, 128), (128, 150, 32)]
    """
    start = 0
    while start < count:
        size = max((size for size in sizes if size <= count - start), default=min(sizes))
        stop = min(count, start + size)
        yield slice(start, stop), size
        start = stop


def batch_of(values: Sequence[npt.NDArray[Any]]) -> Tensor:
    """Prepared values, at least one, as a batch `[n, ...]`; pictures `[3, size, size]` in the layout channels last."""
    return channels_last(values) if values[0].ndim == 3 else torch.from_numpy(np.stack(values))

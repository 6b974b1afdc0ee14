"""Which device a model runs on, and how a batch goes through it: on a CPU in pieces over the cores, on a GPU as graphs.

A model for small pictures is hundreds of short kernels, and starting each takes a processor longer than a large GPU
needs for it. A CUDA graph starts them all at once (Gray, "Getting Started with CUDA Graphs", 2019); it is bound to its
memory, so that batches are cut into pieces of fixed sizes and the last one is filled up. `torch.compile` would record
the same graphs, but compiles in every process, and wants Triton and a C compiler. A GPU fetches by itself what lies in
pinned memory: while it computes on one buffer, the other one is filled and copied.

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

from indexer.encoders.resizing import channels_last
from indexer.errors import EncoderUnavailable

# Values of a piece: what indexing embeds at once, and what fills a large GPU. Estimates until measured on one:
# 128 pictures of ViT-B/32 are matrices of 6,400 rows.
SIZES = (32, 128)

# Fewer values, a question's, are not worth recording for. An estimate until measured.
FEWEST = 8

# Runs before a recording, in which libraries choose their kernels and take their memory: as PyTorch's notes advise.
WARM_UPS = 3

# Only one recording may be under way in a process, and buffers and graphs are for one batch at a time.
_turn = Lock()

Step = Callable[[Tensor], Tensor]
Run = Callable[[Sequence[npt.NDArray[Any]]], Tensor]

BUFFERS = 2


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


class GraphRunner:
    """Runs a function on a CUDA device by its recordings, copying the next piece of a batch meanwhile.

    A function that cannot be recorded (it asks the device something on its way) is run as it is.
    """

    def __init__(self, function: Step, device: torch.device) -> None:
        self._function, self._device = function, device
        self._buffers: Buffers | None = None
        self.recorded: dict[int, RecordedGraph | None] = {}

    def __call__(self, values: Sequence[npt.NDArray[Any]]) -> Tensor:
        """The function's answers to the prepared values, at least one, in their order; they are there."""
        with torch.inference_mode(), torch.cuda.device(self._device):
            if len(values) < FEWEST:
                return self._function(batch_of(values).to(self._device))
            with _turn:
                return self._through(values)

    def _through(self, values: Sequence[npt.NDArray[Any]]) -> Tensor:
        if self._buffers is None:
            copying = CudaStream(torch.cuda.Stream(self._device))  # type: ignore[no-untyped-call]
            computing = CudaStream(torch.cuda.current_stream(self._device))
            self._buffers = Buffers(max(SIZES), values[0], self._device, copying=copying, computing=computing)
        return self._buffers.through(self._step, values, SIZES)

    def _step(self, batch: Tensor) -> Tensor:
        size = len(batch)
        if size not in self.recorded:
            self.recorded[size] = recording_of(self._function, batch, self._device)
        return (self.recorded[size] or self._function)(batch)


@dataclass(frozen=True, slots=True)
class RecordedGraph:
    """A function's kernels, bound to the memory of one batch and of its answer."""

    graph: torch.cuda.CUDAGraph
    batch: Tensor
    answer: Tensor

    def __call__(self, batch: Tensor) -> Tensor:
        """The answer to a batch of the same size; the next call overwrites it."""
        self.batch.copy_(batch)
        self.graph.replay()
        return self.answer


def recording_of(function: Step, batch: Tensor, device: torch.device) -> RecordedGraph | None:
    """The function recorded for batches of this size and layout; None if it cannot be."""
    own, graph = batch.clone(), torch.cuda.CUDAGraph()
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    current = torch.cuda.current_stream(device)
    aside.wait_stream(current)
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            function(own)
    current.wait_stream(aside)
    try:
        with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            answer = function(own)
    except RuntimeError:  # what CUDA does not record; out of memory too, which the function as it is may escape
        return None
    return RecordedGraph(graph, own, answer)


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
        pieces = batch.tensor_split(min(len(batch), self._count(len(batch))))
        return torch.cat(list(self._pool.map(self._inferred, pieces)))

    def _count(self, batch: int) -> int:
        """How many pieces: as many on each thread, none larger than what the function does best."""
        rounds = -(-batch // (self._threads * self._piece))
        return self._threads * rounds

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


class CudaStream:
    """A CUDA stream: work that a device does in its order, while whoever gave it goes on."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream

    def run(self, work: Callable[[], object]) -> None:
        """Begins the work when what was given before is done."""
        with torch.cuda.stream(self._stream):
            work()

    def after(self, event: torch.cuda.Event) -> None:
        """What comes next waits for another stream's event; the processor does not."""
        self._stream.wait_event(event)

    def record(self) -> torch.cuda.Event:
        """The event that all that was given so far is done."""
        event: torch.cuda.Event = self._stream.record_event()
        return event


class Buffers:
    """Two buffers of `[size, ...]` in pinned memory and two on the device, which hold parts of batches by turns."""

    def __init__(
        self, size: int, like: npt.NDArray[Any], device: torch.device, *, copying: CudaStream, computing: CudaStream
    ) -> None:
        """`like` is one value of a batch: all have its shape and type."""
        hosts = [_buffer(size, like, pinned=device.type == "cuda") for _ in range(BUFFERS)]
        self._hosts = [(host, host.numpy()) for host in hosts]
        self._there = [torch.zeros_like(host, device=device) for host in hosts]
        self._copying, self._computing = copying, computing
        # a buffer is filled when what was in it is copied, and copied when what was there is computed
        self._copied = [copying.record() for _ in hosts]
        self._computed = [computing.record() for _ in hosts]

    def through(
        self, step: Callable[[Tensor], Tensor], values: Sequence[npt.NDArray[Any]], sizes: Sequence[int]
    ) -> Tensor:
        """What `step` makes of the values, `[n, ...]`, given to it in pieces of `sizes` on the device.

        `step` treats each value of a piece alone and may use its answer's memory again for the next piece.
        """
        answers: list[Tensor] = []
        for number, (part, size) in enumerate(pieces_of(len(values), sizes)):
            self._take(number % BUFFERS, values[part], size, step, answers)
        whole: list[Tensor] = []
        self._computing.run(lambda: whole.append(torch.cat(answers)))
        self._computing.record().synchronize()
        return whole[0]

    def _take(
        self,
        turn: int,
        values: Sequence[npt.NDArray[Any]],
        size: int,
        step: Callable[[Tensor], Tensor],
        answers: list[Tensor],
    ) -> None:
        """Sends a piece of `size` on its way; what is missing of it is what lay there before."""
        (host, array), there = self._hosts[turn], self._there[turn]
        self._copied[turn].synchronize()
        for place, value in enumerate(values):
            array[place] = value
        self._copying.after(self._computed[turn])
        self._copying.run(lambda: there[:size].copy_(host[:size], non_blocking=True))
        self._copied[turn] = self._copying.record()
        self._computing.after(self._copied[turn])
        self._computing.run(lambda: answers.append(step(there[:size])[: len(values)].clone()))
        self._computed[turn] = self._computing.record()


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


def _buffer(size: int, like: npt.NDArray[Any], *, pinned: bool) -> Tensor:
    """Memory of the processor for `size` values, laid out as `batch_of` lays them out."""
    # zeros are values too: what fills a piece up is computed on like the rest
    zeros = batch_of([np.zeros_like(like)] * size)
    return zeros.pin_memory() if pinned else zeros

"""How a batch goes through a model: on a CPU in pieces over its cores, on a GPU as graphs that were recorded once.

A model for small pictures is hundreds of short kernels, and starting each takes a processor longer than a large GPU
needs for it. A CUDA graph starts them all at once (Gray, "Getting Started with CUDA Graphs", 2019); what it records is
bound to its memory, so that batches are cut into pieces of fixed sizes and the last one is filled up.
`torch.compile(mode="reduce-overhead")` would record the same graphs, but compiles before the first batch of every
process, and wants Triton and a C compiler on the user's machine.

Photos are decoded on all cores of the processor, beside a GPU too. torchvision decodes JPEGs on CUDA, 8,000 a second of
551 x 676 pixels on an A100 (pytorch/vision, pull request 8496), but takes none of the other formats, leaves a photo
lying as the camera lay, and has been deprecated since 0.29. Nor is decoding all that is waited for: what indexing does
for a photo besides takes 0.36 ms of processor time (4,000 photos of 8 x 8 pixels, a busy machine).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from indexer.encoders.buffering import Buffers, Stream, batch_of
from indexer.encoders.spreading import Spread

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


def runner(function: Step, device: torch.device, *, piece: int | None = None) -> Run:
    """Runs `function`, which treats each value of a batch `[n, ...]` on the device alone, over prepared values.

    Its weights must not be exchanged any more. On a CPU `piece` are the values that one core does best at once;
    without, the batch goes through whole.
    """
    if device.type == "cuda":
        return Replayed(function, device)
    if device.type == "cpu" and piece is not None:
        spread = Spread(function, piece=piece)
        return lambda values: spread(batch_of(values))
    return lambda values: function(batch_of(values).to(device))


class Replayed:
    """Runs a function on a CUDA device by its recordings, copying the next piece of a batch meanwhile.

    A function that cannot be recorded (it asks the device something on its way) is run as it is.
    """

    def __init__(self, function: Step, device: torch.device) -> None:
        self._function, self._device = function, device
        self._buffers: Buffers | None = None
        self.recorded: dict[int, Recording | None] = {}

    def __call__(self, values: Sequence[npt.NDArray[Any]]) -> Tensor:
        """The function's answers to the prepared values, at least one, in their order; they are there."""
        with torch.inference_mode(), torch.cuda.device(self._device):
            if len(values) < FEWEST:
                return self._function(batch_of(values).to(self._device))
            with _turn:
                return self._through(values)

    def _through(self, values: Sequence[npt.NDArray[Any]]) -> Tensor:
        if self._buffers is None:
            copying = Stream(torch.cuda.Stream(self._device))  # type: ignore[no-untyped-call]
            computing = Stream(torch.cuda.current_stream(self._device))
            self._buffers = Buffers(max(SIZES), values[0], self._device, copying=copying, computing=computing)
        return self._buffers.through(self._step, values, SIZES)

    def _step(self, batch: Tensor) -> Tensor:
        size = len(batch)
        if size not in self.recorded:
            self.recorded[size] = recording_of(self._function, batch, self._device)
        return (self.recorded[size] or self._function)(batch)


@dataclass(frozen=True, slots=True)
class Recording:
    """A function's kernels, bound to the memory of one batch and of its answer."""

    graph: torch.cuda.CUDAGraph
    batch: Tensor
    answer: Tensor

    def __call__(self, batch: Tensor) -> Tensor:
        """The answer to a batch of the same size; the next call overwrites it."""
        self.batch.copy_(batch)
        self.graph.replay()
        return self.answer


def recording_of(function: Step, batch: Tensor, device: torch.device) -> Recording | None:
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
    return Recording(graph, own, answer)

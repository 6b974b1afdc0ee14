"""Batches on their way to a GPU: while it computes on one buffer, the other one is filled and copied.

A GPU fetches by itself what lies in pinned memory; for anything else the processor would wait. Copying and computing
are two queues (CUDA's streams), which events keep from overtaking each other. They are behind `Lane`, so that their
order is tested where there is no GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from indexer.encoders.resizing import channels_last

BUFFERS = 2


class Event(Protocol):
    """A point in a lane's work."""

    def synchronize(self) -> None:
        """Waits until the lane has come to it."""
        ...


class Lane(Protocol):
    """Work that a device does in its order, while whoever gave it goes on."""

    def run(self, work: Callable[[], object]) -> None:
        """Begins the work when what was given before is done."""
        ...

    def after(self, event: Any) -> None:
        """What comes next waits for another lane to come to the event."""
        ...

    def record(self) -> Event:
        """The event that all that was given so far is done."""
        ...


class Stream:
    """A CUDA stream as a `Lane`."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream

    def run(self, work: Callable[[], object]) -> None:
        """Calls it with this stream as the current one."""
        with torch.cuda.stream(self._stream):
            work()

    def after(self, event: Any) -> None:
        """The stream waits, not the processor."""
        self._stream.wait_event(event)

    def record(self) -> Event:
        """A CUDA event."""
        event: Event = self._stream.record_event()
        return event


class Buffers:
    """Two buffers of `[size, ...]` in pinned memory and two on the device, which hold parts of batches by turns."""

    def __init__(
        self, size: int, like: npt.NDArray[Any], device: torch.device, *, copying: Lane, computing: Lane
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

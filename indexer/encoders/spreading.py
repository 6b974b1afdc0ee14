"""A batch in pieces over the cores of a CPU, each on one thread: the pieces share nothing and wait for nobody.

Torch's own way, all threads on one layer after another, makes them wait for each other at each, spinning: while
photos are decoded on the same cores that is time which nobody has. And a piece's layers stay in its core's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch
from torch import Tensor


class Spread:
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

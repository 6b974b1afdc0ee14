"""Work made ahead on threads: in order, and by no more than a window holds, so that memory does not grow."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Value = TypeVar("Value")
Result = TypeVar("Result")

# Values that are under way at once, a thread: enough to bridge one slow file.
AHEAD = 16


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ahead(function: Callable[[Value], Result], values: Iterable[Value]) -> Iterator[Result]:
    """The function's results in the order of the values, made on as many threads as there are processors."""
    threads = processors()
    window: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="descry-ahead")
    try:
        for value in values:
            window.append(pool.submit(function, value))
            if len(window) >= AHEAD * threads:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)

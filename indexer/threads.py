"""Work made ahead on threads: in order, by no more than a window holds, and given up where it takes too long.

What reads people's files may hang: on a decoder that never ends, or on a drive that does not answer. Python cannot end
a thread, so such a one is left behind, another takes its place, and the process does not wait for it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from indexer.errors import TookTooLong

Value = TypeVar("Value")
Result = TypeVar("Result")

# Values that are under way at once, a thread: enough to bridge one slow file.
AHEAD = 16

# Seconds that the work on a file may take, and more for each megabyte: the slowest photo within the limits takes 5 of
# an idle core, and machines are seen twenty times as busy.
PATIENCE, A_MEGABYTE = 120.0, 1.0

# Seconds between two looks at the time; on Windows Ctrl-C is heard only between them.
LOOK = 0.5


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Work(Future[Result], Generic[Result]):
    """What a thread does or will do, within `seconds` from when it begins."""

    def __init__(self, function: Callable[[], Result], seconds: float) -> None:
        super().__init__()
        self.function, self.seconds = function, seconds
        self.begun: float | None = None

    def is_overdue(self) -> bool:
        """Whether it takes too long."""
        return self.begun is not None and time.monotonic() > self.begun + self.seconds


class Workers:
    """Threads that do what may hang."""

    def __init__(self, threads: int, name: str) -> None:
        self._threads, self._name = threads, name
        self._waiting: SimpleQueue[Work[object] | None] = SimpleQueue()
        for _ in range(threads):
            self._begin()

    def _begin(self) -> None:
        # a daemon: the process can end while it hangs
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def submit(self, function: Callable[[], Result], *, size: int = 0) -> Work[Result]:
        """Has the function called by one of the threads; `size` is that of the file that it reads, in bytes."""
        work = Work(function, PATIENCE + A_MEGABYTE * size / 1e6)
        self._waiting.put(work)  # type: ignore[arg-type]
        return work

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            if work.set_running_or_notify_cancel():
                work.begun = time.monotonic()
                try:
                    tell = partial(work.set_result, work.function())
                except BaseException as error:
                    tell = partial(work.set_exception, error)
                try:
                    tell()
                except InvalidStateError:  # it was given up
                    return

    def result(self, work: Work[Result]) -> Result:
        """What became of the work, once it is there. Raises what it raised, or `TookTooLong`."""
        while not work.done():
            wait([work], LOOK)
            if not work.done() and work.is_overdue():
                with suppress(InvalidStateError):  # it has just ended
                    reason = f"reading it took longer than {work.seconds:.0f} s; `descry index` tries it again"
                    work.set_exception(TookTooLong(reason))
                    self._begin()
        return work.result()

    def close(self) -> None:
        """Ends the threads, none of them waited for; what has not begun is not done."""
        with suppress(Empty):
            while True:
                if waiting := self._waiting.get_nowait():
                    waiting.cancel()
        for _ in range(self._threads):
            self._waiting.put(None)


def ahead(
    function: Callable[[Value], Result],
    values: Iterable[Value],
    *,
    overdue: Callable[[Value, TookTooLong], Result] | None = None,
) -> Iterator[Result]:
    """The function's results in the order of the values, made on as many threads as there are processors.

    Where one takes too long, what `overdue` makes of its value comes instead; without it, `TookTooLong` is raised.
    """
    threads = processors()
    window: deque[tuple[Value, Work[Result]]] = deque()
    workers = Workers(threads, "descry-ahead")

    def oldest() -> Result:
        value, work = window.popleft()
        try:
            return workers.result(work)
        except TookTooLong as error:
            if overdue is None:
                raise
            return overdue(value, error)

    try:
        for value in values:
            window.append((value, workers.submit(partial(function, value))))
            if len(window) >= AHEAD * threads:
                yield oldest()
        while window:
            yield oldest()
    finally:
        workers.close()

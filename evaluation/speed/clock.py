"""Rates and times inside this process: the best of several rounds, the things that are compared by turns."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


def best_seconds(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The shortest time of each call; every round makes all of them, one after the other."""
    best = dict.fromkeys(calls, float("inf"))
    with _clean():
        for _ in range(rounds):
            for name, call in calls.items():
                gc.collect()  # nobody pays for another's garbage
                began = time.perf_counter()
                call()
                best[name] = min(best[name], time.perf_counter() - began)
    return best


@contextmanager
def _clean() -> Iterator[None]:
    """Garbage is looked for only among what is made meanwhile: among all there is, that can take half a second."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def one_core() -> Iterator[None]:
    """Keeps this thread, and those that it starts meanwhile, to one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

"""`python -m benchmarks.queues`: how long questions wait, simulated event by event, for figures that were measured.

Questions come by chance (a Poisson process) and wait in one line for the first searcher that is free, or, in a library
of several shards, in a line at each shard: the slowest of its shards answers a question. Tested against what theory
knows of the simple cases: M/M/c (Erlang's C) and M/D/1 (Pollaczek and Khinchine).
"""

from __future__ import annotations

import argparse
import heapq
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

# Questions of a run, and those at its beginning that are not counted: the line is empty then.
QUESTIONS, WARM_UP = 200_000, 20_000

# A service time: draws one in seconds, of a mean of one.
Draw = Callable[[np.random.Generator, int], Any]

# What times of service may look like, by name, of a mean of one. Of real ones a tenth, those with a new filter or a
# cold page, takes five times as long as the others.
SERVICES: dict[str, Draw] = {
    "constant": lambda _, count: np.ones(count),
    "exponential": lambda chance, count: chance.exponential(1.0, count),
    "mixed": lambda chance, count: np.where(chance.random(count) < 0.1, 5.0, 1.0) / 1.4,
}


class Waits(NamedTuple):
    """Seconds from a question to its answer: their mean, median and 99th percentile; how many wait, on average."""

    mean: float
    median: float
    most: float
    queue: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """`searchers` that each hold all `shards`: a question takes `seconds` of one core of each shard's machine."""

    seconds: float
    searchers: int = 1
    shards: int = 1
    service: str = "mixed"

    def waits(self, rate: float, *, questions: int = QUESTIONS, seed: int = 0) -> Waits:
        """What becomes of `rate` questions a second."""
        chance = np.random.default_rng(seed)
        arrivals = np.cumsum(chance.exponential(1 / rate, questions))
        ends, began = np.zeros(questions), np.zeros(questions)
        for _ in range(self.shards):
            times = self.seconds * SERVICES[self.service](chance, questions)
            starts = np.fromiter(_starts(arrivals, times, self.searchers), float, questions)
            ends = np.maximum(ends, starts + times)
            began = np.maximum(began, starts)
        counted = slice(min(WARM_UP, questions // 10), None)
        took = (ends - arrivals)[counted]
        mean_wait = float((began - arrivals)[counted].mean())
        return Waits(float(took.mean()), float(np.median(took)), float(np.quantile(took, 0.99)), rate * mean_wait)

    @property
    def capacity(self) -> float:
        """Questions a second beyond which the line grows for ever."""
        return self.searchers / self.seconds


def _starts(arrivals: Any, times: Any, servers: int) -> Iterator[float]:
    """When each question of one line is begun: as soon as it is there and one of the servers is free."""
    free = [0.0] * servers
    for arrival, time in zip(arrivals.tolist(), times.tolist(), strict=True):
        start = max(arrival, free[0])
        heapq.heapreplace(free, start + time)
        yield start


def greatest_rate(cluster: Cluster, within: float, *, questions: int = QUESTIONS) -> float:
    """Questions a second of which 99 of 100 are answered within so many seconds; 0 where even one alone is not."""
    low, high = 0.0, cluster.capacity
    for _ in range(12):
        rate = (low + high) / 2
        if cluster.waits(rate, questions=questions).most <= within:
            low = rate
        else:
            high = rate
    return low


def erlang_c(servers: int, load: float) -> float:
    """The probability that a question has to wait in M/M/c; `load` is rate by mean service time, below `servers`."""
    top = load**servers / math.factorial(servers) * servers / (servers - load)
    return top / (sum(load**number / math.factorial(number) for number in range(servers)) + top)


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queues", description=__doc__)
    parser.add_argument("--milliseconds", type=float, required=True, help="a question's core time, of all photos")
    parser.add_argument("--fixed", type=float, default=0.0, help="of these, what does not shrink with a shard")
    parser.add_argument("--within", type=float, default=200, help="milliseconds in which 99 of 100 are answered (200)")
    parser.add_argument("--questions", type=int, default=QUESTIONS, help=f"that are simulated ({QUESTIONS})")
    options = parser.parse_args(arguments)
    print("| shards | searchers | a question alone, ms | questions/s in time | mean, ms | waiting |")
    print("|--|--|--|--|--|--|")
    scanned = options.milliseconds - options.fixed
    rate_of = partial(greatest_rate, within=options.within / 1000, questions=options.questions)
    for shards in (1, 2, 4):
        for searchers in (1, 2, 4, 8):
            cluster = Cluster((options.fixed + scanned / shards) / 1000, searchers, shards)
            rate = rate_of(cluster)
            told = cluster.waits(rate, questions=options.questions) if rate else Waits(*[math.inf] * 4)
            row = (shards, searchers, f"{1000 * cluster.seconds:.4g}", f"{rate:.3g}", f"{1000 * told.mean:.3g}")
            print(f"| {' | '.join(map(str, (*row, f'{told.queue:.2g}')))} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

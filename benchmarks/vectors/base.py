"""What a vector engine has to do here, and how it is timed; runs inside the peer's environment.

Building, searching and changing are processes of their own, so that the memory of one is not counted for the other,
and what is changed is a copy: some engines store at once what is added to them. Searching keeps to one core, one
question at a time. A scan by numpy of the same float32 vectors, timed in the same process, is the measure that carries
over from machine to machine.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

K = 10

# What is asked of every engine that can be told how hard to look, and the questions whose time is taken.
WISHED = 0.98
TIMED, ROUNDS = 100, 5

# Seconds for one round of questions: a slow engine is asked fewer of them, but at least `FEWEST`.
PATIENCE, FEWEST = 5.0, 8

PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Data:
    """Vectors `[n, dim]`, float32 unit rows, in a file, with questions and their true neighbours, by place."""

    folder: Path

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return len(self.rows())

    @property
    def dimension(self) -> int:
        """Their length."""
        return int(self.rows().shape[1])

    def rows(self) -> Float32Array:
        """All vectors, as a map of the file."""
        rows: Float32Array = np.load(self.folder / "rows.npy", mmap_mode="r")
        return rows

    def pieces(self) -> Iterator[tuple[Int64Array, Float32Array]]:
        """Places and vectors, read piece by piece and not mapped, so that they do not count as memory used."""
        path, mapped = self.folder / "rows.npy", self.rows()
        offset, count, dimension = int(getattr(mapped, "offset", 0)), *mapped.shape
        del mapped
        for start in range(0, count, PIECE):
            size = min(PIECE, count - start)
            rows = np.fromfile(path, np.float32, size * dimension, offset=offset + start * dimension * 4)
            yield np.arange(start, start + size, dtype=np.int64), rows.reshape(size, dimension)

    def questions(self, kind: str) -> tuple[Float32Array, Int64Array]:
        """Questions `[q, dim]` of a kind and the places `[q, K]` of their nearest vectors."""
        return np.load(self.folder / f"{kind}.npy"), np.load(self.folder / f"{kind}-truth.npy")


class Engine(Protocol):
    """A vector engine. `knobs` are what its search can be told, from quick to thorough; none if nothing.

    What an engine has chosen by itself it may tell in `chosen`, once it is open.
    """

    knobs: Sequence[Any]

    def build(self, data: Data, folder: Path) -> None:
        """Makes the index of all vectors, under their places as ids, in the folder."""

    def open(self, folder: Path) -> None:
        """Opens what `build` has made, to search and change it."""

    def turn(self, knob: Any) -> None:
        """Sets how hard to look."""

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        """The ids of the `k` nearest to a question `[dim]`, the nearest first."""

    def add(self, id: int, row: Float32Array) -> None:
        """Adds a vector to what is open. Raises `NotImplementedError` where that takes a rebuild."""

    def remove(self, id: int) -> None:
        """Removes one. Raises `NotImplementedError` where that takes a rebuild."""


@dataclass(frozen=True, slots=True)
class Built:
    """Processor seconds and peak memory of building, and the size of what is on disk then."""

    seconds: float
    cpu_seconds: float
    peak_megabytes: float
    bytes_a_vector: float

    def as_json(self) -> dict[str, Any]:
        """As the other process reads it."""
        return asdict(self)


def build(engine: Engine, data: Data, folder: Path) -> Built:
    """Builds into an empty folder; the size is that of all files in it."""
    folder.mkdir(parents=True, exist_ok=True)
    began, cpu = time.perf_counter(), time.process_time()
    engine.build(data, folder)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Built(seconds, cpu_seconds, peak_megabytes(), held / data.count)


def search(engine: Engine, data: Data, folder: Path) -> dict[str, Any]:
    """Recalls, milliseconds a question, the same in scans by numpy, and memory."""
    engine.open(folder)
    questions, truth = data.questions("aside")
    knob = _tuned(engine, questions[::2], truth[::2])
    timed = questions[: _affordable(lambda: engine.search(questions[0], K))][:TIMED]
    memory = peak_megabytes()
    rows = np.ascontiguousarray(data.rows())
    rounds = [
        (_taken(lambda row: engine.search(row, K), timed), _taken(lambda row: rows @ row, questions[:FEWEST]))
        for _ in range(ROUNDS)
    ]
    searches, scans = (_typical(column) for column in zip(*rounds, strict=True))
    near, near_truth = data.questions("near")
    return {
        "milliseconds": searches.milliseconds,
        "cpu milliseconds": searches.cpu_milliseconds,
        "numpy scan milliseconds": scans.milliseconds,
        "numpy scan cpu milliseconds": scans.cpu_milliseconds,
        "recall, questions aside": recall(engine, questions[1::2], truth[1::2]),
        "recall, questions near": recall(engine, near, near_truth),
        "chosen": str(getattr(engine, "chosen", knob) or ""),
        "megabytes": memory,
    }


def change(engine: Engine, data: Data, folder: Path) -> dict[str, Any]:
    """Whether a vector can be added and removed without a rebuild; the folder is not as it was afterwards."""
    engine.open(folder)
    if engine.knobs:
        engine.turn(engine.knobs[-1])
    questions, _ = data.questions("aside")
    return {"add": _can(lambda: _adds(engine, data)), "remove": _can(lambda: _removes(engine, questions))}


def one_core() -> None:
    """Keeps this process, and every thread that a library starts, to one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def peak_megabytes() -> float:
    """The most memory that this process had.

    Linux tells what its parent had, if that was more, where other systems tell the process's own.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        peaks = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(peaks[0]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _affordable(call: Callable[[], object]) -> int:
    """How many questions can be asked within the patience that there is."""
    call()
    began = time.perf_counter()
    call()
    return max(FEWEST, int(PATIENCE / (time.perf_counter() - began)))


def recall(engine: Engine, questions: Float32Array, truth: Int64Array) -> float:
    """The share of the true neighbours that are found, of as many questions as there is patience for."""
    affordable = _affordable(lambda: engine.search(questions[0], K))
    questions, truth = questions[:affordable], truth[:affordable]
    hits = sum(
        len(set(map(int, engine.search(question, K))) & set(true.tolist()))
        for question, true in zip(questions, truth, strict=True)
    )
    return hits / truth.size


def _tuned(engine: Engine, questions: Float32Array, truth: Int64Array) -> Any:
    """Turns to the quickest setting that reaches the wished recall, or to the most thorough one."""
    for knob in engine.knobs:
        engine.turn(knob)
        if recall(engine, questions, truth) >= WISHED:
            return knob
    return engine.knobs[-1] if engine.knobs else None


class Typical(NamedTuple):
    """What a question takes, by the clock and of the processor: on a busy machine the latter says more."""

    milliseconds: float
    cpu_milliseconds: float


def _taken(call: Callable[[Float32Array], object], questions: Float32Array) -> Float64Array:
    """What each question takes `[2, q]`: seconds by the clock, seconds of all threads' processors."""
    times = []
    for question in questions:
        began, cpu = time.perf_counter(), time.process_time()
        call(question)
        times.append((time.perf_counter() - began, time.process_time() - cpu))
    return np.array(times).T


def _typical(rounds: Sequence[Float64Array]) -> Typical:
    """The median question, each taken at its quickest round."""
    seconds, cpu_seconds = np.median(np.min(rounds, axis=0), axis=1).tolist()
    return Typical(1000 * seconds, 1000 * cpu_seconds)


def _can(change: Callable[[], bool]) -> str:
    try:
        return "yes" if change() else "no: it is not seen"
    except NotImplementedError:
        return "no"


def _stranger(data: Data) -> Float32Array:
    """A vector far from all others, which its own question must find first."""
    row = np.random.default_rng(7).standard_normal(data.dimension).astype(np.float32)
    unit: Float32Array = row / np.float32(np.linalg.norm(row))
    return unit


def _adds(engine: Engine, data: Data) -> bool:
    engine.add(data.count, _stranger(data))
    return int(engine.search(_stranger(data), K)[0]) == data.count


def _removes(engine: Engine, questions: Float32Array) -> bool:
    found = int(engine.search(questions[0], K)[0])
    engine.remove(found)
    return found not in map(int, engine.search(questions[0], K))

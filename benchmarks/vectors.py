"""Vector search beside its peers: each engine builds and searches in processes of its own environment.

The engines are in `benchmarks.engines`; a peer is a class there and a row here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks import engines
from benchmarks.engines import PIECE, Data, Float32Array, Int64Array, K
from benchmarks.environments import ROOT, CannotRun, Environment, Row
from benchmarks.synthetic import Clustered

# It holds numpy below 2, and pyarrow's newer wheels were built for numpy 2.
AUTOFAISS = ("autofaiss==2.18.0", "pyarrow==15.0.2")

PEERS: dict[str, Row] = {
    "descry": Row(engines.Descry, (), "what `descry optimize` chooses for recall 0.98"),
    "descry exact": Row(engines.DescryExact, (), "the index of a library that was not optimized"),
    "faiss flat": Row(engines.FaissFlat, ("faiss-cpu==1.15.1",), "exact, float32"),
    "hnswlib": Row(engines.Hnswlib, ("hnswlib==0.8.0", "numpy==2.4.6"), "M 16, ef_construction 200, float32"),
    "usearch": Row(engines.Usearch, ("usearch==2.26.6", "numpy==2.4.6"), "defaults, float16"),
    "sqlite-vec": Row(engines.SqliteVec, ("sqlite-vec==0.1.9", "apsw==3.54.1.0", "numpy==2.4.6"), "exact, float32"),
    "lancedb": Row(engines.Lancedb, ("lancedb==0.40.0", "numpy==2.4.6"), "without an index: exact, float32"),
    "lancedb ivf": Row(
        engines.LancedbIvf, ("lancedb==0.40.0", "numpy==2.4.6"), "its default index, IVF_PQ, refined by whole vectors"
    ),
    "autofaiss": Row(engines.Autofaiss, AUTOFAISS, "what it chooses for 4 GB of memory"),
}

# Who has not built its index by then is told so: all peers together take at most 25 minutes at 100 thousand vectors.
LIMIT = 600

# Every library's way to be told how many threads to use; searching is one thread's work.
LIBRARIES = ("OMP", "OPENBLAS", "MKL", "RAYON")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in LIBRARIES}

# Questions of each kind.
QUESTIONS = 400

# How far a question that is like a vector lies from it: a photo's crop, in the vector's length.
NEAR = 0.4

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """Where environments and vectors are kept, how much is done, and the seconds a step may take."""

    folder: Path
    count: int
    dimension: int
    limit: int = LIMIT

    @property
    def data(self) -> Path:
        """The vectors."""
        return self.folder / f"vectors-{self.count}-{self.dimension}"


def run(work: Work, names: Sequence[str], tell: Callable[[str], None]) -> Iterator[tuple[str, Result]]:
    """A result an engine, in the order of the table; what cannot be run says why and stops nobody."""
    make(work.data, work.count, work.dimension)
    for name in names:
        tell(f"{name}, {work.count:,} vectors")
        try:
            yield name, measured(work, name)
        except CannotRun as error:
            yield name, PEERS[name].told() | {"reason": str(error)}


def measured(work: Work, name: str) -> Result:
    """Builds, searches and changes. Raises `CannotRun`."""
    row = PEERS[name]
    environment = Environment.below(work.folder, row.packages)
    environment.make()  # now, and not within the limit of a step
    with TemporaryDirectory(dir=work.data) as folder:
        built, searched = (_step(step, work, row, environment, Path(folder, "index")) for step in ("build", "search"))
    return {**row.told(), **built, **searched, "versions": environment.versions()}


def _step(step: str, work: Work, row: Row, environment: Environment, index: Path) -> Result:
    kind = f"{row.kind.__module__}:{row.kind.__name__}"
    command = [str(environment.python), "-m", "benchmarks.engines", step, kind, str(work.data), str(index)]
    settings: Mapping[str, str] = {} if step == "build" else ONE_THREAD
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, **settings},
            timeout=work.limit,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"{step} did not end within {work.limit} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise CannotRun(f"{step}: {said[-1].replace('|', '/')}")
    result: Result = json.loads(done.stdout.strip().splitlines()[-1])
    return result


# the data: vectors that all engines search, and questions with their true answers, as files


def make(folder: Path, count: int, dimension: int) -> Data:
    """Vectors in clusters; questions `aside` of them all, as sentences lie aside from photos, and `near` to some.

    Nothing is made anew that is there already, and what is there is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data, recipe = Data(folder), Clustered(dimension)
    if not (folder / "rows.npy").is_file():
        whole = folder / "rows.part.npy"
        rows = np.lib.format.open_memmap(whole, "w+", np.float32, (count, dimension))
        for number, piece in enumerate(recipe.rows(count)):
            rows[number * PIECE : number * PIECE + len(piece)] = piece
        rows.flush()
        whole.rename(folder / "rows.npy")
    questions = {"aside": recipe.questions(QUESTIONS, count), "near": _near(data)}
    for kind, asked in questions.items():
        if not (folder / f"{kind}-truth.npy").is_file():
            np.save(folder / f"{kind}.npy", asked)
            part = folder / f"{kind}-truth.part.npy"
            np.save(part, nearest(data, asked))
            part.rename(folder / f"{kind}-truth.npy")
    return data


def _near(data: Data) -> Float32Array:
    chance = np.random.default_rng(3)
    rows = data.rows()
    chosen = rows[np.sort(chance.choice(len(rows), min(QUESTIONS, len(rows)), replace=False))]
    moved = chosen + np.float32(NEAR / np.sqrt(rows.shape[1])) * chance.standard_normal(chosen.shape, np.float32)
    unit: Float32Array = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return unit


def nearest(data: Data, questions: Float32Array) -> Int64Array:
    """The places `[q, K]` of the nearest vectors, the nearest first, by looking at all."""
    scores = np.full((len(questions), K), -np.inf, np.float32)
    places = np.full((len(questions), K), -1, np.int64)
    for ids, rows in data.pieces():
        merged = np.hstack([scores, questions @ rows.T])
        known = np.hstack([places, np.broadcast_to(ids, (len(questions), len(ids)))])
        best = np.argsort(-merged, axis=1, kind="stable")[:, :K]
        scores, places = np.take_along_axis(merged, best, 1), np.take_along_axis(known, best, 1)
    return places

"""From outside: each engine builds, searches and is changed in processes of its own environment: a row of figures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from benchmarks.environments import ROOT, CannotRun, Environment
from benchmarks.peers import Row
from benchmarks.vectors import PEERS
from benchmarks.vectors.data import make

# Who has not built its index by then is told so: all peers together take at most 25 minutes at 100 thousand vectors.
LIMIT = 600

# Every library's way to be told how many threads to use; searching is one thread's work.
LIBRARIES = ("OMP", "OPENBLAS", "MKL", "RAYON")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in LIBRARIES}

# What building took, in the folder of what was built.
TOLD = "built.json"

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """Where environments, vectors and built indexes are kept, how much is done, and the seconds a step may take."""

    folder: Path
    count: int
    dimension: int
    limit: int = LIMIT

    @property
    def data(self) -> Path:
        """The vectors."""
        return self.folder / f"vectors-{self.count}-{self.dimension}"

    def environment(self, row: Row) -> Environment:
        """The environment of a peer."""
        return Environment.below(self.folder, row.packages)

    def index(self, name: str) -> Path:
        """The folder of a peer's index."""
        return self.data / "built" / name.replace(" ", "-")


def run(work: Work, names: Sequence[str], tell: Callable[[str], None]) -> Iterator[tuple[str, Result]]:
    """A result an engine, in the order of the table; what cannot be run says why and stops nobody."""
    make(work.data, work.count, work.dimension)
    for name in names:
        tell(f"{name}, {work.count:,} vectors")
        try:
            yield name, measured(work, name)
        except CannotRun as error:
            yield name, told(PEERS[name]) | {"reason": str(error)}


def measured(work: Work, name: str) -> Result:
    """Builds, unless that was done before, searches, and changes a copy. Raises `CannotRun`."""
    row = PEERS[name]
    environment = work.environment(row)
    index = work.index(name)
    took = _built(work, row, environment, index)
    searched = _step("search", work, row, environment, index)
    with _copy(index) as copy:
        changed = _step("change", work, row, environment, copy)
    return told(row) | {"built": took, **searched, **changed, "versions": environment.versions()}


def told(row: Row) -> Result:
    """Who a peer is."""
    return {"about": row.about, "packages": list(row.packages)}


def _built(work: Work, row: Row, environment: Environment, index: Path) -> Result:
    """What building took, now or before.

    An index gets its name when it is whole: one that was cut off, or made by another version, is begun anew.
    """
    maker = made_by(row)
    if (index / TOLD).is_file():
        took: Result = json.loads((index / TOLD).read_text(encoding="utf-8"))
        if took["made by"] == maker:
            return took
    part = index.with_name(f"part-{index.name}")
    for old in (part, index):
        shutil.rmtree(old, ignore_errors=True)
    took = _step("build", work, row, environment, part) | {"made by": maker}
    (part / TOLD).write_text(json.dumps(took), encoding="utf-8")
    part.rename(index)
    return took


def made_by(row: Row) -> str:
    """What an index depends on: a peer's pinned packages; of Descry, the code that makes a library."""
    if row.packages:
        return " ".join(row.packages)
    sources = sorted([*(ROOT / "indexer").glob("*.py"), ROOT / "evaluation" / "synthetic.py"])
    return "descry " + xxhash.xxh3_64_hexdigest(b"".join(path.read_bytes() for path in sources))


@contextmanager
def _copy(index: Path) -> Iterator[Path]:
    """A copy that goes again. Raises `CannotRun`."""
    copy = index.with_name(f"changed-{index.name}")
    shutil.rmtree(copy, ignore_errors=True)
    try:
        try:
            shutil.copytree(index, copy)
        except (OSError, shutil.Error) as error:
            raise CannotRun(f"no copy to change could be made: {error}") from error
        yield copy
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _step(step: str, work: Work, row: Row, environment: Environment, index: Path) -> Result:
    command = [str(environment.python), "-m", "benchmarks.vectors", step, row.module, str(work.data), str(index)]
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

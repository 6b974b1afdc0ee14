"""From outside: each engine builds and searches in processes of its own environment, and becomes a row of figures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT, CannotRun, Environment
from benchmarks.vectors import PEERS, Row
from benchmarks.vectors.data import make

# Who has not built its index by then is told so: all peers together take at most 25 minutes.
LIMIT = 600

# Every library's way to be told how many threads to use; searching is one thread's work.
LIBRARIES = ("OMP", "OPENBLAS", "MKL", "RAYON")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in LIBRARIES}

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """Where environments, vectors and built indexes are kept, and how much is done."""

    folder: Path
    count: int
    dimension: int

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


def run(work: Work, names: Sequence[str], tell: Callable[[str], None]) -> dict[str, Result]:
    """A result an engine, in the order of the table; what cannot be run says why and stops nobody."""
    make(work.data, work.count, work.dimension)
    results = {}
    for name in names:
        tell(f"{name}, {work.count:,} vectors")
        try:
            results[name] = measured(work, name)
        except CannotRun as error:
            results[name] = {"about": PEERS[name].about, "reason": str(error)}
    return results


def measured(work: Work, name: str) -> Result:
    """Builds, unless that was done before, and searches. Raises `CannotRun`."""
    row, environment, index = PEERS[name], work.environment(PEERS[name]), work.index(name)
    told = index.with_suffix(".json")
    if not told.is_file():
        shutil.rmtree(index, ignore_errors=True)  # a build that was cut off
        built = _step("build", row, environment, work.data, index, {})
        told.write_text(json.dumps(built), encoding="utf-8")
    searched = _step("search", row, environment, work.data, index, ONE_THREAD)
    return {
        "about": row.about,
        "built": json.loads(told.read_text(encoding="utf-8")),
        **searched,
        "versions": environment.versions(),
    }


def _step(step: str, row: Row, environment: Environment, data: Path, index: Path, settings: Mapping[str, str]) -> Any:
    command = [str(environment.python), "-m", "benchmarks.vectors", step, row.module, str(data), str(index)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, **settings},
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"{step} did not end within {LIMIT} s") from error
    if done.returncode:
        raise CannotRun(f"{step}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])

"""Whole processes as a user's shell starts them: seconds, processor seconds and peak memory, several by turns.

A process is started by a tiny one, because Linux counts what its parent had to a child's peak memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import DescryError

# What is started beside a measured process, to compare with: the least that a search by sentence has to import.
BASE = "import numpy, faiss, click, sqlite3"

# Runs what it is given and writes to a file what that took.
_STARTER = """
import json, os, sys, time
began = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
took = time.perf_counter() - began
unit = 1 if sys.platform == "darwin" else 1024
told = [took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6]
with open(sys.argv[1], "w") as file:
    json.dump(told, file)
sys.exit(os.waitstatus_to_exitcode(status))
"""

Command = Sequence[str | Path]


class ProcessFailed(DescryError):
    """A measured process ended with an error."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a process took: seconds by the clock, processor seconds of all its threads, megabytes at most at once."""

    seconds: float
    cpu_seconds: float
    megabytes: float
    output: str = ""


def descry(*arguments: str | Path) -> list[str | Path]:
    """The command `descry` of this environment."""
    script = Path(sys.executable).parent / "descry"
    return [*([script] if script.is_file() else [sys.executable, "-m", "search"]), *arguments]


def base() -> list[str | Path]:
    """A Python that does nothing but import what a search cannot do without."""
    return [sys.executable, "-c", BASE]


def taken(command: Command, *, environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> Taken:
    """Runs a command to its end, its output kept. Raises `ProcessFailed` for an exit code but 0."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as told:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _STARTER, told.name, *map(str, command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            check=False,
        )
        if done.returncode:
            raise ProcessFailed(f"{' '.join(map(str, command))[:200]}: {(done.stderr or done.stdout).strip()[-500:]}")
        seconds, cpu_seconds, megabytes = json.load(told)
        return Taken(seconds, cpu_seconds, megabytes, done.stdout)


def by_turns(commands: Mapping[str, Command], rounds: int, **options: object) -> dict[str, Taken]:
    """The quickest of some rounds of each command, one after the other, so that a busy minute meets all of them.

    A round before the first warms the disk's cache and is not counted. The memory is the most of all rounds.
    """
    best: dict[str, Taken] = {}
    for number in range(rounds + 1):
        for name, command in commands.items():
            now = taken(command, **options)  # type: ignore[arg-type]
            before = best.get(name)
            if number == 1 or before is None:
                best[name] = now
            else:
                quicker = min(before, now, key=lambda one: one.seconds)
                most = max(before.megabytes, now.megabytes)
                best[name] = Taken(quicker.seconds, min(before.cpu_seconds, now.cpu_seconds), most, quicker.output)
    return best

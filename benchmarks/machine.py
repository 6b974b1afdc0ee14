"""What this machine is, and what things take on it: calls in this process, and whole processes as a shell starts them.

What is compared takes turns, and the quickest of several rounds counts. A process is started by a tiny one, because
Linux counts what its parent had to a child's peak memory.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from indexer.errors import DescryError
from indexer.threads import processors

# What decides speed, and has versions.
PACKAGES = (
    "descry",
    "numpy",
    "faiss-gpu",
    "faiss-cpu",
    "torch",
    "open_clip_torch",
    *("onnxruntime", "openvino", "pillow"),
)


def machine() -> dict[str, Any]:
    """Processor, cores, memory, GPUs if there are any, system, versions and the date."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    versions = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "processor": processor_name(),
        "cores": processors(),
        "gigabytes": round(memory / 2**30, 1),
        **({"gpu": gpus} if (gpus := gpu_names()) else {}),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **versions,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def processor_name() -> str:
    """As the system calls it, with what tells processors of one name apart."""
    told = Path("/proc/cpuinfo")
    if not told.is_file():
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in told.read_text().split("\n\n")[0].splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = facts.get("flags", "").split()
    wide = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if name in flags]
    name = facts.get("model name", platform.machine())
    return f"{name} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')}; {' '.join(wide)})"


def gpu_names() -> str:
    """NVIDIA's GPUs and their drivers' version, as the driver's own tool calls them; nothing where it is not."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    asked = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    return "; ".join(said.stdout.splitlines()) if said.returncode == 0 else ""


# calls in this process


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


# processes

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


def by_turns(commands: Mapping[str, Command], rounds: int, **options: Any) -> dict[str, Taken]:
    """The quickest of some rounds of each command, one after the other, so that a busy minute meets all of them.

    A round before the first warms the disk's cache and is not counted. The memory is the most of all rounds.
    """
    rows = [{name: taken(command, **options) for name, command in commands.items()} for _ in range(rounds + 1)][1:]
    return {name: best([row[name] for row in rows]) for name in commands}


def best(runs: Sequence[Taken]) -> Taken:
    """The least that each run took of time, and the most of memory."""
    return Taken(
        min(one.seconds for one in runs),
        min(one.cpu_seconds for one in runs),
        max(one.megabytes for one in runs),
        runs[-1].output,
    )

"""On what, with what and when something was measured."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from indexer.threads import processors

PACKAGES = (
    "descry",
    "numpy",
    "faiss-gpu",
    "faiss-cpu",
    "torch",
    "open_clip_torch",
    "onnxruntime",
    "openvino",
    "pillow",
)


def machine() -> dict[str, Any]:
    """Processor, cores, memory, GPUs if there are any, system, versions and the date."""
    return {
        "processor": processor_name(),
        "cores": processors(),
        "gigabytes": round(memory_bytes() / 2**30, 1),
        **({"gpu": gpus} if (gpus := gpu_names()) else {}),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **versions(),
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def processor_name() -> str:
    """As the system calls it, with what tells processors of one name apart."""
    told = Path("/proc/cpuinfo")
    if not told.is_file():
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in told.read_text().split("\n\n")[0].splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    wide = [
        name
        for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
        if name in facts.get("flags", "").split()
    ]
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


def memory_bytes() -> int:
    """The machine's memory."""
    if not hasattr(os, "sysconf"):
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def versions() -> dict[str, str]:
    """The versions of what decides speed, of those that are here."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""Inside a peer's environment: `python -m benchmarks.vectors build|search|change MODULE DATA FOLDER` prints JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.vectors import base


def main(step: str, module: str, data: str, folder: str) -> None:
    """One step of one peer; the last line on stdout is its result."""
    if step != "build":
        base.one_core()  # before the peer is imported, which may start threads
    engine: base.Engine = import_module(f"benchmarks.vectors.{module}").Engine()
    print(json.dumps(STEPS[step](engine, base.Data(Path(data)), Path(folder))), flush=True)


STEPS: dict[str, Callable[[base.Engine, base.Data, Path], dict[str, Any]]] = {
    "build": lambda engine, data, folder: base.build(engine, data, folder).as_json(),
    "search": base.search,
    "change": base.change,
}


if __name__ == "__main__":
    main(*sys.argv[1:])

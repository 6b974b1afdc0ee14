"""Inside a peer's environment: `python -m benchmarks.vectors build|search MODULE DATA FOLDER` prints JSON."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.vectors import base


def main(step: str, module: str, data: str, folder: str) -> None:
    """One step of one peer; the last line on stdout is its result."""
    engine: base.Engine = import_module(f"benchmarks.vectors.{module}").Engine()
    if step == "build":
        result = base.build(engine, base.Data(Path(data)), Path(folder)).as_json()
    else:
        result = base.search(engine, base.Data(Path(data)), Path(folder))
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

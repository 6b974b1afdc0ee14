"""`python -m evaluation speed`: from options to figures, and to what is done with them."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evaluation.speed import measure
from evaluation.speed.against import against
from evaluation.speed.figures import Run, table
from evaluation.speed.plot import plot, require_matplotlib
from evaluation.speed.setting import Setting, sizes_of
from indexer.atomic import atomic_write, writing
from indexer.encoders import Encoder


def run_speed(encoder: Encoder, options: argparse.Namespace) -> dict[str, Any]:
    """How fast and how small: the measurements that are named, or all of them."""
    if options.plot:
        require_matplotlib()
    then = [Run.read(Path(file)) for file in options.against]
    with _folder(options.work) as folder:
        sizes = sizes_of(options.sizes)
        setting = Setting(encoder, options.photos, sizes, folder, options.device, like=options.library)
        for now in measure(setting, options.names, tell=_tell):
            held = now.as_json()
            if options.save:  # each time: the next one may take minutes
                with writing(options.save), atomic_write(options.save) as place:
                    place.write_text(json.dumps(held, indent=1), encoding="utf-8")
    if options.plot:
        plot(now, options.plot)
    return held | {"against": [against(now, earlier).splitlines() for earlier in then]}


def _tell(name: str) -> None:
    print(f"measuring: {name}", file=sys.stderr, flush=True)


def for_people(held: dict[str, Any]) -> str:
    """The table of figures, and what they are compared with."""
    compared = ["\n".join(lines) for lines in held["against"]]
    return "\n\n".join([table(Run.of(held)), *compared])


@contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    """The folder to work in: the one that is asked for, else one that goes again."""
    if work:
        yield work.expanduser().absolute()
        return
    with tempfile.TemporaryDirectory(prefix="descry-speed-") as folder:
        yield Path(folder)

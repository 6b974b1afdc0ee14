"""`python -m benchmarks [vectors|photos ...]`: Descry and its peers side by side, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

import benchmarks.photos
import benchmarks.photos.run
import benchmarks.vectors
import benchmarks.vectors.run
from benchmarks.tables import table
from evaluation.speed.machine import machine
from evaluation.speed.setting import Setting, sizes_of
from indexer.encoders import load_encoder
from indexer.errors import DescryError
from indexer.shipped import shipped

Options = argparse.Namespace
Results = dict[str, dict[str, Any]]


def main(arguments: list[str] | None = None) -> int:
    """Runs what is asked for; 0 done, 2 the request was wrong. A peer that cannot be run is a row with its reason."""
    options = _parser().parse_args(arguments)
    folder = options.work.expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        results = {name: held for part in options.parts or PARTS for name, held in PARTS[part](options, folder)}
    except DescryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    held = {"machine": machine(), **results}
    if options.save:
        options.save.write_text(json.dumps(held, indent=1), encoding="utf-8")
    print(table(held))
    return 0


def _vectors(options: Options, folder: Path) -> list[tuple[str, Results]]:
    """A table a size."""
    names = _chosen(benchmarks.vectors.PEERS, options)
    works = [benchmarks.vectors.run.Work(folder, size, options.dimension) for size in sizes_of(options.sizes)]
    return [
        (f"vectors, {work.count} x {work.dimension}", benchmarks.vectors.run.run(work, names, _tell)) for work in works
    ]


def _photos(options: Options, folder: Path) -> list[tuple[str, Results]]:
    """One table."""
    setting = Setting(load_encoder(), options.photos, (), folder)
    names = _chosen(benchmarks.photos.PEERS, options)
    return [("photos", benchmarks.photos.run.run(folder, setting.jpegs, names, _tell))]


PARTS: dict[str, Callable[[Options, Path], list[tuple[str, Results]]]] = {"vectors": _vectors, "photos": _photos}


def _chosen(peers: dict[str, Any], options: Options) -> list[str]:
    return [name for name in peers if not options.peers or name in options.peers]


def _tell(line: str) -> None:
    print(f"running: {line}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="vectors, photos; both by default")
    everyone = [*benchmarks.vectors.PEERS, *benchmarks.photos.PEERS]
    parser.add_argument(
        "--peers", nargs="+", choices=everyone, metavar="PEER", help=f"only these: {', '.join(everyone)}"
    )
    parser.add_argument("--sizes", nargs="+", default=["100k"], help="vectors: how many, such as 100k 1m")
    parser.add_argument("--dimension", type=int, default=512, help="vectors: their length")
    parser.add_argument("--photos", type=Path, default=shipped("photos"), help="photos: what mosaics are made of")
    parser.add_argument(
        "--work",
        type=Path,
        default=user_cache_path("descry") / "benchmarks",
        help="a folder for environments, vectors and indexes, kept for the next run (some 10 GB)",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write all results there, as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())

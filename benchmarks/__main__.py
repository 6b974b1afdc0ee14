"""`python -m benchmarks [vectors|photos ...]`: Descry and its peers side by side, as a table and as JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

import benchmarks.photos
import benchmarks.photos.run
import benchmarks.vectors
import benchmarks.vectors.run
from benchmarks.saved import write
from benchmarks.tables import table
from evaluation.speed.machine import machine
from evaluation.speed.setting import Setting, sizes_of
from indexer.encoders import load_encoder
from indexer.errors import DescryError
from indexer.shipped import shipped

Options = argparse.Namespace
Row = tuple[str, str, dict[str, Any]]


def main(arguments: list[str] | None = None) -> int:
    """Runs what is asked for; 0 done, 2 the request was wrong. A peer that cannot be run is a row with its reason."""
    options = _parser().parse_args(arguments)
    folder = options.work.expanduser().absolute()
    held: dict[str, Any] = {"machine": machine()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in options.parts or PARTS:
            for name, peer, result in PARTS[part](options, folder):
                rows = held.setdefault(name, {})
                rows[peer] = rows.get(peer, {}) | result | {"date": held["machine"]["date"]}
                if options.save:  # each time: the next one may take minutes
                    write(options.save, held)
    except DescryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(table(held))
    return 0


def _vectors(options: Options, folder: Path) -> Iterator[Row]:
    """A table a size."""
    names = _chosen(benchmarks.vectors.PEERS, options)
    for size in sizes_of(options.sizes):
        work = benchmarks.vectors.run.Work(folder, size, options.dimension, options.limit)
        for name, result in benchmarks.vectors.run.run(work, names, _tell):
            yield f"vectors, {size:,} x {options.dimension}", name, result


def _photos(options: Options, folder: Path) -> Iterator[Row]:
    """One table."""
    setting = Setting(load_encoder(), options.photos, (), folder)
    names = _chosen(benchmarks.photos.PEERS, options)
    for name, result in benchmarks.photos.run.run(folder, setting.jpegs, names, _tell):
        yield "photos", name, result


PARTS: dict[str, Callable[[Options, Path], Iterator[Row]]] = {"vectors": _vectors, "photos": _photos}


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
    limit = benchmarks.vectors.run.LIMIT
    parser.add_argument("--limit", type=int, default=limit, help=f"vectors: seconds for a step of a peer ({limit})")
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

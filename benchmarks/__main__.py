"""`python -m benchmarks [NAME ...]`: how fast and how small Descry is here, and its peers beside it.

A name is a measurement, a function of `MEASUREMENTS`, or `vectors` or `photos`, which run the peers. A figure is told
beside a limit or a peer that was measured in the same run, where there is one: that ratio carries over to other
machines, the milliseconds do not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from benchmarks import photos, vectors
from benchmarks.figures import Figure, Row, Run, against, table
from benchmarks.machine import machine
from benchmarks.plot import plot, require_matplotlib
from benchmarks.setting import Setting, sizes_of
from evaluation.datasets import DataError
from indexer import shipped
from indexer.encoders import DEFAULT, load_encoder
from indexer.errors import DescryError

Options = argparse.Namespace

# Name -> the module of the function of that name, which yields figures.
MEASUREMENTS = {
    "cold": "searching",
    "indexing": "encoding",
    "encoding": "encoding",
    "multiplying": "encoding",
    "searching": "searching",
    "filtering": "searching",
    "size": "growing",
    "growth": "growing",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs what is asked for; 0 done, 2 the request was wrong. A peer that cannot be run is a row with its reason."""
    options = _parser().parse_args(arguments)
    try:
        held = _run(options)
    except DescryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(held)
    return 0


def _run(options: Options) -> str:
    """All that was measured, as text."""
    names = options.names or list(MEASUREMENTS)
    for unknown in (name for name in names if name not in (*MEASUREMENTS, *PEERS)):
        raise DataError(f"No measurement is called {unknown!r}: there are {', '.join((*MEASUREMENTS, *PEERS))}.")
    if options.plot:
        require_matplotlib()
    then = [Run.read(file) for file in options.against]
    earlier = Run.read(options.save) if options.save and options.save.exists() else None
    sizes = sizes_of(options.sizes or ["10k"])
    now = Run(machine())
    with _folder(options.work, is_kept=bool(set(names) & set(PEERS))) as folder:
        encoder = load_encoder(options.model, device=options.device)
        setting = Setting(encoder, options.photos, sizes, folder, options.device, like=options.library)
        for now in _measured(names, setting, options):
            if options.save:  # each time: the next one may take minutes
                (now.after(earlier) if earlier else now).write(options.save)
    if options.plot:
        plot(now, options.plot)
    compared = [against(now, run) for run in then]
    if options.json:
        return json.dumps(now.as_json() | {"against": [text.splitlines() for text in compared]}, indent=1)
    return "\n\n".join([table(now), *compared])


def _measured(names: list[str], setting: Setting, options: Options) -> Iterator[Run]:
    """After each figure and each peer's row, what has been measured so far."""
    here = machine()
    figures: dict[str, list[Figure]] = {}
    peers: dict[str, dict[str, Row]] = {}
    for name in names:
        _tell(name)
        if name in PEERS:
            for part, peer, row in PEERS[name](setting, options):
                rows = peers.setdefault(part, {})
                rows[peer] = {**rows.get(peer, {}), **row, "date": here["date"]}
                yield Run(here, figures, peers)
        else:
            for figure in getattr(import_module(f"benchmarks.{MEASUREMENTS[name]}"), name)(setting):
                figures.setdefault(name, []).append(figure)
                yield Run(here, figures, peers)


def _vectors(setting: Setting, options: Options) -> Iterator[tuple[str, str, Row]]:
    """A table a size."""
    for size in sizes_of(options.sizes or ["100k"]):
        work = vectors.Work(setting.folder, size, options.dimension, options.limit)
        for name, row in vectors.run(work, _chosen(vectors.PEERS, options), _tell):
            yield f"vectors, {size:,} x {options.dimension}", name, row


def _photos(setting: Setting, options: Options) -> Iterator[tuple[str, str, Row]]:
    """One table."""
    for name, row in photos.run(setting.folder, setting.jpegs, _chosen(photos.PEERS, options), _tell):
        yield "photos", name, row


PEERS: dict[str, Callable[[Setting, Options], Iterator[tuple[str, str, Row]]]] = {
    "vectors": _vectors,
    "photos": _photos,
}


def _chosen(peers: dict[str, Any], options: Options) -> list[str]:
    return [name for name in peers if not options.peers or name in options.peers]


def _tell(line: str) -> None:
    print(f"measuring: {line}", file=sys.stderr, flush=True)


@contextmanager
def _folder(work: Path | None, *, is_kept: bool) -> Iterator[Path]:
    """The folder to work in: the one that is asked for, else one that goes again, but for the peers' environments."""
    if work or is_kept:
        folder = (work or user_cache_path("descry") / "benchmarks").expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="descry-benchmarks-") as made:
        yield Path(made)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = f"{', '.join(MEASUREMENTS)} (all of these by default); {', '.join(PEERS)}: beside peers"
    parser.add_argument("names", nargs="*", metavar="NAME", help=known)
    parser.add_argument("--model", default=DEFAULT, help="as for `descry index --model`")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--photos", type=Path, default=shipped("photos"), help="what mosaics are made of")
    parser.add_argument("--sizes", nargs="+", help="photos in a library, such as 10k 1m (10k; of vectors 100k)")
    parser.add_argument("--library", type=Path, help="as many photos as wished like those of this library")
    parser.add_argument("--work", type=Path, help="a folder for all that is made, kept for the next run (some 10 GB)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write all figures there, beside those there already")
    parser.add_argument("--against", type=Path, nargs="+", default=[], metavar="FILE", help="compare with earlier runs")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the figures")
    parser.add_argument("--json", action="store_true")
    everyone = [*vectors.PEERS, *photos.PEERS]
    parser.add_argument("--peers", nargs="+", choices=everyone, metavar="PEER", help=f"only: {', '.join(everyone)}")
    parser.add_argument("--dimension", type=int, default=512, help="vectors: their length")
    limit = vectors.LIMIT
    parser.add_argument("--limit", type=int, default=limit, help=f"vectors: seconds for a step of a peer ({limit})")
    return parser


if __name__ == "__main__":
    sys.exit(main())

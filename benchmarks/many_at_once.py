"""`python -m benchmarks.many_at_once ADDRESS`: many programs on one library of a server, and what is lost by it.

The database must be empty. Indexers embed photos that keep coming, changing, moving and going in a folder of each and
in one that they share, while searchers ask; then all stop, one last run brings the library up to date, and its rows are
counted beside the files. Errors and rows that are lost or there twice must be none: else the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from indexer.encoders import load_encoder
from indexer.errors import DescryError
from indexer.library import Library
from indexer.pipeline import index_sources
from indexer.postgres.connection import shown
from search import Engine, Filter, parse

SEARCHERS, INDEXERS = 8, 2

# Seconds from one round of an indexer to the next; photos that come, change, move and go in each.
ROUND, COME, OTHERS = 2.0, 8, 1

SIDE = 96
SENTENCES = ("a red wall", "green", "something blue", "a dark pattern", "noise", "a pale photo -red")

Told = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Runs them; 0 nothing was lost, doubled or failed, 1 something was, 2 the request was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_at_once", description=__doc__)
    parser.add_argument("address", help="postgresql://USER@HOST/DATABASE")
    parser.add_argument("--seconds", type=float, default=300, help="how long (300)")
    parser.add_argument("--searchers", type=int, default=SEARCHERS, help=f"programs that ask ({SEARCHERS})")
    parser.add_argument("--indexers", type=int, default=INDEXERS, help=f"programs that index ({INDEXERS})")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="descry-benchmarks-") as folder:
            told = run(options.address, Path(folder), options.seconds, options.searchers, options.indexers)
    except DescryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(told, indent=1))
    return 1 if told["errors"] or told["lost"] or told["doubled"] or told["incomplete"] else 0


def run(address: str, folder: Path, seconds: float, searchers: int, indexers: int) -> Told:
    """All at once for so long; what they did, and what the library holds afterwards beside the files."""
    Library.create(address, load_encoder()).close()
    until = time.time() + seconds
    places = [folder / f"of indexer {number}" for number in range(indexers)]
    shared = folder / "of all"
    for place in (*places, shared):
        place.mkdir()
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    jobs: list[tuple[Callable[..., Told], tuple[Any, ...]]] = [(ask, (address, until))] * searchers
    jobs += [(index, (address, until, place, shared)) for place in places]
    processes = [
        context.Process(target=_told, args=(answers, job, arguments, number))
        for number, (job, arguments) in enumerate(jobs)
    ]
    for process in processes:
        process.start()
    told = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    encoder = load_encoder()
    with Library.create(address, encoder) as library:
        index_sources(library, [*places, shared], encoder)
        held = Counter(item.path for item in library.catalog.items(library.catalog.ids("image").tolist()))
        there = {path for place in (*places, shared) for path in place.iterdir()}
        vectors = library.catalog.count("image")
    waits = sorted(wait for one in told for wait in one.get("waits", ()))
    return {
        "library": shown(address),
        "seconds": seconds,
        "searchers": searchers,
        "indexers": indexers,
        "questions": len(waits),
        "median_ms": round(1000 * waits[len(waits) // 2], 1) if waits else None,
        "95th_ms": round(1000 * waits[int(0.95 * len(waits))], 1) if waits else None,
        "embedded": sum(one.get("embedded", 0) for one in told),
        "files": len(there),
        "rows": sum(held.values()),
        "lost": len(there - held.keys()),
        "doubled": sum(held.values()) - len(held) + sum(one.get("doubled", 0) for one in told),
        "incomplete": abs(vectors - sum(held.values())) + len(held.keys() - there),
        "errors": [one["error"] for one in told if "error" in one],
    }


def _told(answers: Any, job: Callable[..., Told], arguments: tuple[Any, ...], number: int) -> None:
    try:
        told = job(*arguments, seed=number)
    except Exception as error:
        told = {"error": f"{type(error).__name__}: {error}"}
    answers.put(told)


def ask(address: str, until: float, *, seed: int) -> Told:
    """Asks until then; the seconds of each question, and how many photos an answer held twice."""
    chance, waits, doubled = random.Random(seed), list[float](), 0
    with Library.open(address) as library:
        engine = Engine(library)
        while time.time() < until:
            filters = chance.choice([[], [Filter("type", "png")], [Filter("min-width", "100", negated=True)]])
            began = time.perf_counter()
            hits = engine.search(parse(chance.choice(SENTENCES), k=100, filters=filters))
            waits.append(time.perf_counter() - began)
            doubled += len(hits) - len({hit.item.path for hit in hits})
    return {"waits": waits, "doubled": doubled}


def index(address: str, until: float, own: Path, shared: Path, *, seed: int) -> Told:
    """Makes photos come, change, move and go, and indexes them, until then; how many were embedded."""
    chance, encoder, embedded = random.Random(seed), load_encoder(), 0
    with Library.create(address, encoder) as library:
        number = 0
        while time.time() < until:
            began = time.monotonic()
            for place in (own, shared):
                for _ in range(COME):
                    number += 1
                    _paint(place / f"{seed}-{number}.png", chance)
                mine = sorted(place.glob(f"{seed}-*.png"))
                for path in chance.sample(mine, OTHERS):
                    _paint(path, chance)
                for path in chance.sample(mine, OTHERS):
                    number += 1
                    path.rename(place / f"{seed}-{number}.png")
                chance.choice(sorted(place.glob(f"{seed}-*.png"))).unlink()
            report = index_sources(library, [own, shared], encoder, thumbnails=True)
            embedded += report.embedded
            time.sleep(max(0.0, ROUND - (time.monotonic() - began)))
    return {"embedded": embedded}


def _paint(path: Path, chance: random.Random) -> None:
    """Writes a photo that is like no other, all at once, as a camera's program does."""
    cells = np.random.default_rng(chance.getrandbits(64)).integers(0, 256, (4, 4, 3), np.uint8)
    new = path.with_suffix(".part")
    Image.fromarray(cells).resize((SIDE, SIDE)).save(new, "png")
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main())

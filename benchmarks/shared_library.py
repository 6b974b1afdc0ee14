"""`python -m benchmarks.shared_library ADDRESS`: a library on a server beside the same one in a folder.

The database must be empty: synthetic photos are loaded into it, and stay. Told is processor time, of Descry and of all
processes of PostgreSQL and Milvus on this machine: run it where the servers run, and where nobody else asks them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, Run, table
from benchmarks.machine import machine
from benchmarks.searching import SHARES, exact_index, nothing
from benchmarks.setting import make_library, short, sizes_of
from benchmarks.synthetic import CAMERAS, named_only, write_library
from indexer.errors import DescryError
from indexer.items import Int64Array, Vectors
from indexer.library import Library
from indexer.nearest.tuning import K, recall_of
from search import Engine, Filter, parse
from search.filters import to_sql
from search.query import Query

# Sentences that ask for photos, and how often each is asked.
ASKED, ROUNDS = 100, 2

FOLDER = "in a folder"


def main(arguments: list[str] | None = None) -> int:
    """Measures; 0 done, 2 the request was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_library", description=__doc__)
    parser.add_argument("address", help="postgresql://... or milvus://...")
    parser.add_argument("--size", default="200k", help="photos (200k)")
    parser.add_argument("--dimension", type=int, default=256, help="the vectors' length (256, the shipped encoder's)")
    options = parser.parse_args(arguments)
    (size,) = sizes_of([options.size])
    figures: list[Figure] = []
    try:
        with tempfile.TemporaryDirectory(prefix="descry-benchmarks-") as folder:
            for figure in measured(options.address, Path(folder) / "library", size, options.dimension):
                figures.append(figure)
                print(f"{figure.name}: {figure.value:.4g} {figure.unit} ({figure.beside})", file=sys.stderr, flush=True)
    except DescryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(table(Run(machine(), {"shared_library": figures})))
    return 0


def measured(address: str, folder: Path, size: int, dimension: int) -> Iterator[Figure]:
    """Loading, asking and recall on the server, each beside the library in the folder."""
    encoder, label = named_only(dimension), f"{short(size)} x {dimension}"
    here = spent(lambda: make_library(folder, encoder, size))
    loading = spent(lambda: write_library(address, size, encoder))

    def index() -> None:
        with Library.create(address, encoder) as library:
            library.indexes.save()

    indexing = spent(index)
    yield Figure(f"loading, {label}", loading, "s")
    yield Figure(f"making the index, {label}", indexing, "s")
    yield Figure(f"both, {label}", loading + indexing, "s", here, FOLDER)
    with Library.open(address) as shared, Library.open(folder) as local:
        yield Figure(f"a photo, {label}", shared.size() / size, "bytes", local.size() / size, FOLDER)
        silent = replace(encoder, makers=dict.fromkeys(("image", "text"), nothing))
        engines = [Engine(library, silent) for library in (shared, local)]
        (sentences,) = local.catalog.vectors_since("text", -1)
        questions = Vectors(sentences.ids[1::2][:ASKED], sentences.rows[1::2][:ASKED])
        for share in (*SHARES, 1.0):
            yield from _asked(engines, questions, share, label)


def _asked(engines: list[Engine], questions: Vectors, share: float, label: str) -> Iterator[Figure]:
    filters = [Filter("camera", name) for name, part in CAMERAS.items() if part == share]
    queries = [parse(f"id:{id}", k=K, wanted="image", filters=filters) for id in questions.ids.tolist()]
    name = f"{share:.1%} allowed, {label}" if filters else f"all, {label}"
    allowed = None
    if filters:
        condition = to_sql(filters)
        times = [spent(partial(engine.library.allowed, "image", *condition)) for engine in engines]
        yield Figure(f"{name}, the filter alone", 1000 * times[0], "ms", 1000 * times[1], FOLDER)
        allowed = engines[1].library.catalog.ids("image", *condition)
    truth = exact_index(engines[1].library).search(questions.rows, K, allowed=allowed)[1]
    found = [_answers(engine, queries) for engine in engines]  # what filters let through is kept from here on
    took = [spent(partial(_answers, engine, queries * ROUNDS)) for engine in engines]
    each = [1000 * seconds / (ROUNDS * len(queries)) for seconds in took]
    yield Figure(name, each[0], "ms", each[1], FOLDER)
    recalls = [recall_of(ids, truth) for ids in found]
    yield Figure(f"{name}, recall@{K}", recalls[0], "", recalls[1], FOLDER)


def _answers(engine: Engine, queries: Sequence[Query]) -> Int64Array:
    """The ids `[q, K]` that are found, -1 where there are fewer."""
    found = np.full((len(queries), K), -1, np.int64)
    for row, query in zip(found, queries, strict=True):
        ids = [hit.id for hit in engine.search(query)]
        row[: len(ids)] = ids
    return found


def spent(call: Callable[[], object]) -> float:
    """The processor seconds that a call takes, here and in the servers' processes."""
    began = time.process_time() + _of_servers()
    call()
    return time.process_time() + _of_servers() - began


def _of_servers() -> float:
    ticks = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended; what it took is its parent's
            name, _, rest = (process / "stat").read_text().rpartition(")")
            # user and system time, and those of children that have ended, as of proc_pid_stat(5)
            ticks += sum(map(int, rest.split()[11:15])) if name.endswith(("(postgres", "(milvus")) else 0
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())

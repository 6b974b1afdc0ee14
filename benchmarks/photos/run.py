"""From outside: each peer indexes the same photos twice, few and many, and answers; what one more photo costs is told.

The difference of two runs leaves out what is done once, such as loading torch, whatever the number of photos.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.environments import CannotRun, Environment
from benchmarks.peers import Row
from benchmarks.photos import PEERS, weights
from benchmarks.photos.base import Peer, Place
from evaluation.speed.processes import Command, ProcessFailed, base, by_turns, taken

FEW, MANY = 32, 256
WIDTH, HEIGHT = 1600, 1200

# Indexing is done over again, and a question asked, so often; the quickest counts.
INDEXINGS, ROUNDS = 2, 5

# Seconds: which command has not ended by then never will.
LIMIT = 900

IMPORTS = "imports alone"

SQLITE = b"SQLite format 3\0"

Result = dict[str, Any]


class Indexed(NamedTuple):
    """What indexing took, all commands together, and the bytes that it left."""

    seconds: float
    cpu_seconds: float
    megabytes: float
    held: int


def run(
    folder: Path, jpegs: Callable[[int, int, int], Path], names: Sequence[str], tell: Callable[[str], None]
) -> Iterator[tuple[str, Result]]:
    """A result a peer, in the order of the table, then what its questions take; what cannot be run stops nobody.

    `jpegs(width, height, count)` is a folder of photos.
    """
    weights.make(folder / f"{weights.ARCHITECTURE}.pt")
    photos = {count: jpegs(WIDTH, HEIGHT, count) for count in (FEW, MANY)}
    questions: dict[str, Command] = {}
    for name in names:
        tell(f"{name}, {MANY} photos")
        try:
            result, question = _indexed(folder, name, photos)
            taken(question)  # who cannot answer is told now, and the others take their turns without it
        except (CannotRun, ProcessFailed) as error:
            yield name, _told(PEERS[name]) | {"reason": reason(error)}
        else:
            questions[name] = question
            yield name, result
    yield from _asked(questions, tell)


def _indexed(folder: Path, name: str, photos: Mapping[int, Path]) -> tuple[Result, Command]:
    """What indexing took, the quickest of some rounds of few and many by turns, and the command that asks."""
    row = PEERS[name]
    peer: Peer = import_module(f"benchmarks.photos.{row.module}").Peer()
    environment = Environment.below(folder, row.packages)
    environment.make()  # now, and not while something is timed
    checkpoint = folder / f"{weights.ARCHITECTURE}.pt"
    places = {count: Place(environment, checkpoint, folder / f"store-{row.module}-{count}") for count in photos}
    rounds = [[_index(peer, places[count], photos[count]) for count in (FEW, MANY)] for _ in range(INDEXINGS)]
    few, many = (best(column) for column in zip(*rounds, strict=True))
    result = _told(row) | {
        "cpu seconds a photo": (many.cpu_seconds - few.cpu_seconds) / (MANY - FEW),
        "cpu seconds of few": few.cpu_seconds,
        "cpu seconds of the run": many.cpu_seconds,
        "seconds of the run": many.seconds,
        "indexing megabytes": many.megabytes,
        "bytes a photo": (many.held - few.held) / (MANY - FEW),
        "versions": environment.versions(),
    }
    return result, _with(peer.settings(places[MANY]), peer.ask(places[MANY], photos[MANY]))


def _told(row: Row) -> Result:
    return {"about": row.about, "packages": list(row.packages)}


def best(runs: Sequence[Indexed]) -> Indexed:
    """The least that each took of time, of all runs; the most memory."""
    return Indexed(
        min(one.seconds for one in runs),
        min(one.cpu_seconds for one in runs),
        max(one.megabytes for one in runs),
        runs[-1].held,
    )


def _index(peer: Peer, place: Place, photos: Path) -> Indexed:
    shutil.rmtree(place.store, ignore_errors=True)
    peer.prepare(place)
    took = [taken(_with(peer.settings(place), command)) for command in peer.index(place, photos)]
    return Indexed(
        sum(one.seconds for one in took),
        sum(one.cpu_seconds for one in took),
        max(one.megabytes for one in took),
        sum(_bytes(file) for path in peer.held(place) for file in _files(path)),
    )


def reason(error: Exception) -> str:
    """What a peer said last, in a line for a table.

    >>> reason(ProcessFailed("rclip: Traceback ...\\nValueError: no photos\\n"))
    'ValueError: no photos'
    """
    return str(error).strip().splitlines()[-1].strip().replace("|", "/")


def _with(settings: Mapping[str, str], command: Command) -> Command:
    """A command that sets its environment variables itself, and is ended after too long a time."""
    limit = ["timeout", "--verbose", str(LIMIT)]
    return [*limit, "env", *(f"{name}={value}" for name, value in settings.items()), *command]


def _files(path: Path) -> Iterator[Path]:
    yield from (file for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def _bytes(file: Path) -> int:
    """The size of a file; of a SQLite database, what it is once its log is taken over."""
    if file.read_bytes()[: len(SQLITE)] != SQLITE:
        return file.stat().st_size
    with closing(sqlite3.connect(file)) as db:
        return int(db.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[0])


def _asked(questions: Mapping[str, Command], tell: Callable[[str], None]) -> Iterator[tuple[str, Result]]:
    """Cold questions by turns, beside a Python that only imports."""
    tell("questions")
    for name, one in by_turns({IMPORTS: base(), **questions}, ROUNDS).items():
        yield (
            name,
            {
                "seconds a question": one.seconds,
                "cpu seconds a question": one.cpu_seconds,
                "question megabytes": one.megabytes,
            },
        )

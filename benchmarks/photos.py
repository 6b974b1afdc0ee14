"""Photo search beside its peers: whole processes over the same photos and weights; each peer a class and a row here.

The weights are one model of the form that rclip uses, ViT-B-32-256, filled by chance and the same for everyone: what
it takes to index and to ask does not depend on what was learnt, and no hub is needed. Each peer indexes the same photos
twice, few and many: the difference leaves out what is done once, such as loading torch.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT, CannotRun, Environment, Row
from benchmarks.inside_photos import ARCHITECTURE
from benchmarks.machine import Command, ProcessFailed, Taken, base, best, by_turns, descry, taken
from indexer.atomic import atomic_write

SENTENCE = "two dogs playing in the snow"
K = 10

FEW, MANY = 32, 256
WIDTH, HEIGHT = 1600, 1200

# Indexing is done over again, and a question asked, so often; the quickest counts.
INDEXINGS, ROUNDS = 2, 5

# Seconds: which command has not ended by then never will.
LIMIT = 900

IMPORTS = "imports alone"

SQLITE = b"SQLite format 3\0"

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer works: its environment, the weights of all, and a folder for what it stores of one run."""

    environment: Environment
    weights: Path
    store: Path


class Peer:
    """A peer by its commands."""

    def prepare(self, place: Place) -> None:
        """Puts the weights where the peer looks for them, in its own form. Raises `CannotRun`."""

    def settings(self, place: Place) -> Mapping[str, str]:  # noqa: ARG002  some peers' settings need the place
        """Environment variables of all its commands: off-line."""
        return {"HF_HUB_OFFLINE": "1"}

    def index(self, place: Place, photos: Path) -> Sequence[Command]:
        """The commands that index a folder, one after the other."""
        raise NotImplementedError

    def ask(self, place: Place, photos: Path) -> Command:
        """The command that asks for `SENTENCE` from nothing, and prints the `K` nearest photos."""
        raise NotImplementedError

    def held(self, place: Place) -> Sequence[Path]:
        """The files and folders that grow with the photos."""
        return [place.store]


class Descry(Peer):
    """Descry as a user calls it, with the weights of all. The text tower in its library does not grow."""

    def model(self, place: Place) -> str:
        return _checkpoint(place)

    def index(self, place: Place, photos: Path) -> Sequence[Command]:
        return [descry("--library", place.store, "index", photos, "--model", self.model(place))]

    def ask(self, place: Place, photos: Path) -> Command:  # noqa: ARG002
        return descry("--library", place.store, "search", SENTENCE, "-k", str(K))


class DescryEmbedded(Descry):
    """Descry with the encoder that travels with it."""

    def model(self, place: Place) -> str:  # noqa: ARG002
        return "embedded"


class Rclip(Peer):
    """rclip: one command that indexes the folder it stands in and searches it."""

    def prepare(self, place: Place) -> None:
        # exported to where it looks for what it would download; torch's exporter needs onnx, in an environment alone
        models = place.weights.with_suffix(".onnx")
        if not models.is_dir():
            part = models.with_suffix(".part")
            python = Environment.below(place.weights.parent, ("onnx==1.23.2",), is_beside=True).python
            command = [str(python), "-m", "benchmarks.inside_photos", "export", str(place.weights), str(part)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
            if done.returncode:
                raise CannotRun(f"the weights cannot be exported: {done.stderr.strip().splitlines()[-1]}")
            part.rename(models)
        place.store.mkdir(parents=True, exist_ok=True)
        for part in models.iterdir():
            (place.store / part.name).symlink_to(part)

    def settings(self, place: Place) -> Mapping[str, str]:
        return {"RCLIP_DATADIR": str(place.store), **super().settings(place)}

    def index(self, place: Place, photos: Path) -> Sequence[Command]:
        return [self._in(photos, place, [])]  # it indexes before it answers; the one question is part of it

    def ask(self, place: Place, photos: Path) -> Command:
        return self._in(photos, place, ["--no-indexing"])  # as its help advises for quick answers

    def _in(self, photos: Path, place: Place, options: Sequence[str]) -> Command:
        tool = place.environment.tool("rclip")
        return ["env", f"--chdir={photos}", tool, *options, "--top", str(K), "--filepath-only", SENTENCE]

    def held(self, place: Place) -> Sequence[Path]:
        return [place.store / "db.sqlite3"]


class ClipRetrieval(Peer):
    """clip-retrieval: embeddings, then an index by autofaiss; its questions are a server's, asked here in its process.

    Its own `filter` command knows OpenAI's weights only, which a hub would have to give.
    """

    def prepare(self, place: Place) -> None:
        place.store.mkdir(parents=True, exist_ok=True)

    def settings(self, place: Place) -> Mapping[str, str]:
        return {"WANDB_MODE": "disabled", "PYTHONPATH": str(ROOT), **super().settings(place)}

    def index(self, place: Place, photos: Path) -> Sequence[Command]:
        tool, store = place.environment.tool("clip-retrieval"), place.store
        # by default it warms up on two batches of 256, however few photos there are: minutes of a core
        embed: Command = [
            *(tool, "inference", "--input_dataset", photos, "--output_folder", store / "embeddings"),
            *("--clip_model", _checkpoint(place), "--enable_text", "False"),
            *("--num_prepro_workers", "2", "--batch_size", "32"),
        ]
        return [embed, [tool, "index", "--embeddings_folder", store / "embeddings", "--index_folder", store / "index"]]

    def ask(self, place: Place, photos: Path) -> Command:  # noqa: ARG002
        script = ["-m", "benchmarks.inside_photos", "ask"]
        return [place.environment.python, *script, place.store / "index", _checkpoint(place), SENTENCE, str(K)]

    def held(self, place: Place) -> Sequence[Path]:
        return [place.store / "embeddings", place.store / "index"]


def _checkpoint(place: Place) -> str:
    return f"open_clip:{ARCHITECTURE}/{place.weights}"


# It imports pkg_resources, which setuptools has dropped since.
CLIP_RETRIEVAL = ("clip-retrieval==2.45.0", "setuptools==80.9.0")

PEERS: dict[str, Row] = {
    "descry": Row(Descry, (), "ViT-B-32-256, the weights of all"),
    "descry, own encoder": Row(DescryEmbedded, (), "the encoder that travels with it"),
    "rclip": Row(Rclip, ("rclip==3.3.0",), "ViT-B-32-256 in ONNX, float32"),
    "clip-retrieval": Row(ClipRetrieval, CLIP_RETRIEVAL, "ViT-B-32-256 by open_clip; asked in Python"),
}


def run(
    folder: Path, jpegs: Callable[[int, int, int], Path], names: Sequence[str], tell: Callable[[str], None]
) -> Iterator[tuple[str, Result]]:
    """A result a peer, in the order of the table, then what its questions take; what cannot be run stops nobody.

    `jpegs(width, height, count)` is a folder of photos.
    """
    checkpoint = make_weights(folder / f"{ARCHITECTURE}.pt")
    photos = {count: jpegs(WIDTH, HEIGHT, count) for count in (FEW, MANY)}
    questions: dict[str, Command] = {}
    for name in names:
        tell(f"{name}, {MANY} photos")
        try:
            result, question = _indexed(folder, checkpoint, name, photos)
            taken(question)  # who cannot answer is told now, and the others take their turns without it
        except (CannotRun, ProcessFailed) as error:
            yield name, PEERS[name].told() | {"reason": reason(error)}
        else:
            questions[name] = question
            yield name, result
    yield from _asked(questions, tell)


def _indexed(folder: Path, checkpoint: Path, name: str, photos: Mapping[int, Path]) -> tuple[Result, Command]:
    """What indexing took, the quickest of some rounds of few and many by turns, and the command that asks."""
    row = PEERS[name]
    peer: Peer = row.kind()
    environment = Environment.below(folder, row.packages)
    environment.make()  # now, and not while something is timed
    store = f"store-{name.replace(' ', '-')}"
    places = {count: Place(environment, checkpoint, folder / f"{store}-{count}") for count in photos}
    rounds = [[_index(peer, places[count], photos[count]) for count in (FEW, MANY)] for _ in range(INDEXINGS)]
    (few, bytes_of_few), (many, bytes_of_many) = (
        (best([took for took, _ in column]), column[-1][1]) for column in zip(*rounds, strict=True)
    )
    result = row.told() | {
        "cpu seconds a photo": (many.cpu_seconds - few.cpu_seconds) / (MANY - FEW),
        "cpu seconds of few": few.cpu_seconds,
        "cpu seconds of the run": many.cpu_seconds,
        "seconds of the run": many.seconds,
        "indexing megabytes": many.megabytes,
        "bytes a photo": (bytes_of_many - bytes_of_few) / (MANY - FEW),
        "versions": environment.versions(),
    }
    return result, _with(peer.settings(places[MANY]), peer.ask(places[MANY], photos[MANY]))


def _index(peer: Peer, place: Place, photos: Path) -> tuple[Taken, int]:
    """What indexing took, all commands together, and the bytes that it left."""
    shutil.rmtree(place.store, ignore_errors=True)
    peer.prepare(place)
    took = [taken(_with(peer.settings(place), command)) for command in peer.index(place, photos)]
    held = sum(_bytes(file) for path in peer.held(place) for file in (path, *path.rglob("*")) if file.is_file())
    seconds, cpu = sum(one.seconds for one in took), sum(one.cpu_seconds for one in took)
    return Taken(seconds, cpu, max(one.megabytes for one in took)), held


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


def make_weights(path: Path) -> Path:
    """The checkpoint of open_clip that everyone reads, made unless it is there."""
    if not path.is_file():
        import open_clip
        import torch

        torch.manual_seed(0)
        with atomic_write(path) as new:
            torch.save(open_clip.create_model(ARCHITECTURE).state_dict(), new)
    return path

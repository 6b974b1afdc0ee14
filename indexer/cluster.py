"""Embedding on a Ray cluster: the files of a job become partitions of Parquet, which `descry import` takes in.

    plan -> [tasks on CPUs: fetch, read, prepare] -> [actors on GPUs or CPUs: embed, write a partition]

The plan is made once and kept beside the partitions. A partition is written whole or not at all and has a name of its
own: a job that was killed goes on with those that are missing. (Ray Data's own checkpoints want one row a file, and
write no metadata.) Needs the package ray, and a folder for the output that all machines see.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import socket
import tarfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import xxhash

from indexer.atomic import atomic_folder, atomic_write, writing
from indexer.chunks import Chunk, distinct, embed_chunks, read_whole
from indexer.encoders import Encoder, load_encoder
from indexer.errors import ClusterError, DescryError, EncoderMismatch, PathError, TookTooLong, first_line, reason_of
from indexer.items import Item, Source, batches
from indexer.modalities import MODALITIES, modality_of
from indexer.pipeline import BATCH
from indexer.report import Report, Watcher
from indexer.storage.catalog import facts_json
from indexer.storage.files import Failure, Settings, as_stored
from indexer.threads import Workers
from indexer.transfer.batches import COLUMNS, Origin
from indexer.transfer.clip_retrieval import facts_of
from indexer.transfer.parquet import pyarrow_for, write_rows
from indexer.walk import gitignore, walk

# Files of a task, and items of a partition: on a CPU half a minute's work is lost with a worker.
TASK = 512

# Tasks of one file of the plan.
TASKS_A_FILE = 1000

# CPUs of a cluster without GPUs that an encoder and the reading for it count for: reading takes a tenth of embedding.
ENCODING, READING = 0.75, 0.25

# The modality of what holds photos in the plan: img2dataset's output.
SHARD = ""
SHARDS = (".tar", ".parquet")

# The columns in which img2dataset's Parquet holds photos, which are the suffixes of their files as well.
PICTURES = ("jpg", "jpeg", "png", "webp")

# Seconds that a cluster is waited for.
PATIENCE = 10

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://")


class Job(NamedTuple):
    """What every worker has to know: where the partitions go, and the encoder."""

    out: Path
    encoder: str
    checksum: str
    dimension: int
    device: str


class Planned(NamedTuple):
    """A file of the plan by its path or address; a size of -1 says that its state is nobody's business later."""

    place: str
    modality: str
    size: int = -1
    mtime_ns: int = -1
    facts_version: str = ""
    sidecars: Sequence[str] = ()

    @classmethod
    def of(cls, source: Source) -> Planned:
        """A file of this machine's, or of all machines'."""
        sidecars = [*map(str, source.sidecars)]
        return cls(str(source.path), source.modality, source.size, source.mtime_ns, source.facts_version, sidecars)

    def source(self) -> Source:
        """The same file again."""
        sidecars = tuple(map(Path, self.sidecars))
        return Source(Path(self.place), self.modality, self.size, self.mtime_ns, self.facts_version, sidecars)


def is_remote(source: str) -> bool:
    """Whether a source is the address of an object store."""
    return bool(_ADDRESS.match(source))


def embed_on_ray(
    sources: Sequence[str],
    out: Path,
    encoder: Encoder,
    *,
    device: str = "auto",
    exclude: Sequence[str] = (),
    follow_links: bool = False,
    watcher: Watcher | None = None,
) -> Report:
    """Embeds all that lies at the sources, on the cluster of `RAY_ADDRESS` or on this machine; run again, it goes on.

    Sources are folders, files, and addresses that fsspec knows (s3://, gs://, az://); the tars and Parquet files of
    img2dataset count for what is in them. `out` gets the partitions, and `failed/` the files that cannot be read.
    Raises `PathError` for a source that is not there and an `out` of another job, `ClusterError` where Ray gives up.
    """
    started = time.monotonic()
    watcher = watcher or Watcher()
    gitignore(exclude)
    out = as_stored(out)
    job = Job(out, encoder.name, encoder.checksum, encoder.dimension, device)
    report = Report()
    with writing(out):
        (out / "failed").mkdir(parents=True, exist_ok=True)
        plan = _plan(job, sources, Settings(exclude=tuple(exclude), follow_links=follow_links), watcher)
        todo = _unfinished(out, plan)
    total = sum(count for count, _ in plan)
    report.unchanged = total - sum(plan[task][0] for task in todo)
    if todo:
        with _ray() as ray:
            watcher.begin(total - report.unchanged)
            try:
                for done in _run(ray, job, todo):
                    failures = [Failure(Path(path), reason) for path, reason in json.loads(done["failures"])]
                    report.failures += failures
                    report.embedded += int(done["files"]) - len(failures)
                    watcher.stored(int(done["items"]))
                    watcher.advance(int(done["planned"]))
                    for failure in failures:
                        watcher.failed(failure)
            except KeyboardInterrupt:
                report.interrupted = True
            finally:
                watcher.end()
    report.old_failures = _failed(out) - len(report.failures)
    report.seconds = time.monotonic() - started
    return report


# the plan


def _plan(job: Job, sources: Sequence[str], settings: Settings, watcher: Watcher) -> list[tuple[int, str]]:
    """The tasks of the job, in order: how many files each has, and where it stands in the plan, which is made once."""
    folder = job.out / "plan"
    digest = xxhash.xxh3_128_hexdigest("\0".join(sources).encode(errors="surrogateescape"))  # there may be millions
    told = {"encoder": job.encoder, "checksum": job.checksum, "sources": digest}
    pa = pyarrow_for(folder)
    if not folder.exists():
        if next(job.out.glob("part-*"), None):
            raise PathError(f"{job.out} holds partitions, but no plan of the job that made them: choose another --out.")
        watcher.stage("listing the files")
        failures: list[Failure] = []
        with atomic_folder(folder) as new:
            _write_plan(new, told, _tasks(sources, settings, failures))
        _write_failures(job.out / "failed" / "plan.parquet", failures)
    tasks = []
    for path in sorted(folder.glob("*.parquet")):
        file = pa.parquet.ParquetFile(path)
        known = {key.decode(): value.decode() for key, value in (file.schema_arrow.metadata or {}).items()}
        if {key: known.get(key) for key in told} != told:
            raise PathError(f"{job.out} holds the job of other sources or of another encoder: choose another --out.")
        groups = range(file.metadata.num_row_groups)
        tasks += [(file.metadata.row_group(group).num_rows, f"{path.name}:{group}") for group in groups]
    if not tasks:
        raise PathError(f"There is nothing to index at {', '.join(sources[:3])}.")
    return tasks


def _write_plan(folder: Path, told: Mapping[str, str], tasks: Iterator[list[Planned]]) -> None:
    """A row a file, a group of rows a task."""
    pa = pyarrow_for(folder)
    kinds = {"place": pa.string(), "modality": pa.string(), "size": pa.int64(), "mtime_ns": pa.int64()}
    kinds |= {"facts_version": pa.string(), "sidecars": pa.list_(pa.string())}
    schema = pa.schema([*kinds.items()], told)
    for number in range(10**6):
        some = list(islice(tasks, TASKS_A_FILE))
        if not some:
            return
        with pa.parquet.ParquetWriter(folder / f"{number:05}.parquet", schema, compression="zstd") as writer:
            for task in some:
                rows = [planned._asdict() for planned in task]
                writer.write_table(pa.Table.from_pylist(rows, schema), row_group_size=len(rows))


def _tasks(sources: Sequence[str], settings: Settings, failures: list[Failure]) -> Iterator[list[Planned]]:
    """The files of the sources, `TASK` at a time; what holds many photos alone."""
    waiting: list[Planned] = []
    for source in sources:
        listed = _remote_files(source) if is_remote(source) else _local_files(as_stored(source), settings, failures)
        for found in listed:
            if found.modality == SHARD:
                yield [found]
            else:
                waiting.append(found)
            if len(waiting) == TASK:
                yield waiting
                waiting = []
    if waiting:
        yield waiting


def _local_files(root: Path, settings: Settings, failures: list[Failure]) -> Iterator[Planned]:
    if not root.exists():
        raise PathError(f"There is no folder or file {root}.")
    if root.suffix.lower() in SHARDS and root.is_file():
        yield Planned(str(root), SHARD)
        return
    for folder in walk(root, {root: settings}):
        failures += folder.failures
        shards = []
        if root.is_dir() and folder.path not in folder.unseen:
            shards = sorted(path for path in folder.path.iterdir() if path.suffix.lower() in SHARDS and path.is_file())
        yield from (Planned(str(path), SHARD) for path in shards)
        statistics = {f"{path.stem}_stats.json" for path in shards}  # img2dataset's
        yield from (Planned.of(source) for source in folder.sources if source.path.name not in statistics)


def _remote_files(address: str) -> Iterator[Planned]:
    """What an object store has below an address."""
    with _of_fsspec(address):
        system, root = _store(address)
        for key in sorted(system.find(root)):
            name = key.rpartition("/")[2]
            modality = modality_of(name)
            if name.startswith("."):
                continue
            if modality or name.lower().endswith(SHARDS):
                yield Planned(system.unstrip_protocol(key), modality.name if modality else SHARD)


def _store(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and what the address is there."""
    if "@" in address.split("://", 1)[1].split("/", 1)[0]:
        raise PathError("An address holds no password: give it by the environment or the store's own file.")
    import fsspec

    system, root = fsspec.core.url_to_fs(address)
    return system, root


@contextmanager
def _of_fsspec(address: str) -> Iterator[None]:
    """Turns what stores and their packages raise into a `PathError`."""
    try:
        yield
    except DescryError:
        raise
    except ImportError as error:
        raise PathError(f"{address} needs a package that is not installed: {first_line(error)}") from error
    except Exception as error:
        raise PathError(f"{address} cannot be read ({first_line(error)}).") from error


def _unfinished(out: Path, plan: Sequence[tuple[int, str]]) -> dict[int, str]:
    """The numbers of the tasks that lack partitions, each with its place in the plan.

    "part-00012-003.parquet" is the fourth partition of task 12; the last of a task has "-end" behind its number.
    """
    seen: Counter[int] = Counter()
    wanted: dict[int, int] = {}
    for path in out.glob("part-*.parquet"):
        if match := re.fullmatch(r"part-(\d+)-(\d+)(-end)?\.parquet", path.name):
            task, piece = int(match[1]), int(match[2])
            seen[task] += 1
            if match[3]:
                wanted[task] = piece + 1
    return {task: place for task, (_, place) in enumerate(plan) if seen[task] != wanted.get(task)}


def _failed(out: Path) -> int:
    pa = pyarrow_for(out)
    return sum(pa.parquet.read_metadata(path).num_rows for path in (out / "failed").glob("*.parquet"))


def _write_failures(path: Path, failures: Sequence[Failure]) -> None:
    pa = pyarrow_for(path)
    path.unlink(missing_ok=True)  # of an earlier try
    if failures:
        table = pa.table({"path": [str(one.path) for one in failures], "reason": [one.reason for one in failures]})
        with atomic_write(path) as new:
            pa.parquet.write_table(table, new)


# the work


@contextmanager
def _ray() -> Iterator[Any]:
    """Ray, connected to the cluster of `RAY_ADDRESS`, or begun on this machine. Raises `ClusterError`."""
    address = os.environ.get("RAY_ADDRESS", "")
    if found := re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address):  # asked first: Ray would ask for minutes
        try:
            socket.create_connection((found[1], int(found[2])), PATIENCE).close()
        except OSError as error:
            raise ClusterError(f"The Ray cluster at {address} does not answer ({reason_of(error)}).") from error
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ClusterError(f"--on ray needs what is not installed ({error}): pip install 'descry[ray]'.") from error
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray
    except DescryError:
        raise
    except Exception as error:
        raise _understood(error) from error
    finally:
        if is_ours:
            ray.shutdown()


def _understood(error: BaseException) -> DescryError:
    """What a worker refused, out of what Ray wraps it in."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DescryError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return ClusterError(f"Ray gave up ({lines[-1].strip()[:200]}); what is done is kept: run the same command again.")


def _run(ray: Any, job: Job, todo: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    """What was done, a partition at a time, as the workers are done with it."""
    machines = ray.cluster_resources()
    gpus, cpus = (min(len(todo), max(1, int(machines.get(kind, 0)))) for kind in ("GPU", "CPU"))
    is_gpu = machines.get("GPU", 0) >= 1 and job.device != "cpu"
    reading = {"num_cpus": 1 if is_gpu else READING}
    encoding = {"num_gpus": 1, "concurrency": gpus} if is_gpu else {"num_cpus": ENCODING, "concurrency": cpus}
    tasks = [{"task": task, "place": place} for task, place in todo.items()]
    work = ray.data.from_items(tasks, override_num_blocks=len(tasks))
    work = work.map_batches(_read_task, fn_kwargs={"job": job}, batch_size=1, **reading)
    work = work.map_batches(Embedder, fn_constructor_args=(job, is_gpu), batch_size=1, **encoding)
    return iter(work.iter_rows())


@cache
def _encoder(name: str, checksum: str, device: str, *, is_reader: bool = False) -> Encoder:
    """The job's encoder, once in a process. Raises `EncoderMismatch` where this machine has other weights of it."""
    encoder = load_encoder(name, device=device)
    if encoder.checksum != checksum:
        raise EncoderMismatch(
            f"{socket.gethostname()} has other weights of {name} than the machine that began the job."
        )
    return encoder.for_asking() if is_reader else encoder


@cache
def _loader() -> Workers:
    return Workers(1, "descry-loader")  # the tasks themselves run side by side


def _read_task(batch: Mapping[str, Any], job: Job) -> Iterator[dict[str, list[Any]]]:
    """The files of a task, read and prepared, as many at a time as a partition holds."""
    encoder = _encoder(job.encoder, job.checksum, "cpu", is_reader=True)
    task, place = int(batch["task"][0]), str(batch["place"][0])
    file, _, group = place.partition(":")
    table = pyarrow_for(job.out).parquet.ParquetFile(job.out / "plan" / file).read_row_group(int(group))
    chunks = (chunk for row in table.to_pylist() for chunk in _read(Planned(**row), encoder))
    held: list[Chunk] = []
    piece = first = 0
    for chunk in chunks:
        if sum(map(len, held)) >= TASK and held:
            yield _piece(task, piece, first, held, is_last=False)
            piece, first, held = piece + 1, first + sum(len(one.items) for one in held), []
        held.append(chunk)
    yield _piece(task, piece, first, held, planned=table.num_rows)


def _piece(
    task: int, piece: int, first: int, chunks: list[Chunk], *, is_last: bool = True, planned: int = 0
) -> dict[str, list[Any]]:
    name = f"part-{task:05}-{piece:03}{'-end' if is_last else ''}"
    return {
        "name": [name],
        "first": [(task << 32) + first],
        "planned": [planned],
        "chunks": [pickle.dumps(chunks)],
    }


def _read(planned: Planned, encoder: Encoder) -> Iterator[Chunk]:
    """A file as chunks, each a file's whole: one, or of a shard one for each file in it."""
    if planned.modality != SHARD and not is_remote(planned.place):
        yield _chunk(planned.source(), encoder)
        return
    with TemporaryDirectory(prefix="descry-") as folder:
        scratch = Path(folder)
        try:
            if planned.modality == SHARD:
                yield from _read_shard(planned.place, scratch, encoder)
            else:
                yield _fetched(planned, scratch, encoder)
        except (PathError, OSError) as error:
            place = _path_of(planned.place)
            yield Chunk(Source(place, planned.modality, -1, -1), error=f"it cannot be fetched: {first_line(error)}")


def _chunk(source: Source, encoder: Encoder) -> Chunk:
    encoder.tower(MODALITIES[source.modality].tower)  # loaded here: it may take longer than a file may
    loader = _loader()
    try:
        return loader.result(loader.submit(partial(read_whole, source, encoder), size=source.size))
    except TookTooLong as error:
        return Chunk(source, error=str(error))


def _path_of(place: str) -> Path:
    """Where an object would lie, were its store mounted at the root: "s3://photos/a.jpg" at "/photos/a.jpg"."""
    return Path("/", place.split("://", 1)[1].lstrip("/")) if is_remote(place) else Path(place)


def _fetched(planned: Planned, scratch: Path, encoder: Encoder) -> Chunk:
    path = scratch / PurePosixPath(planned.place).name
    with _of_fsspec(planned.place):
        system, key = _store(planned.place)
        system.get_file(key, str(path))
    status = path.stat()
    chunk = _chunk(Source(path, planned.modality, status.st_size, status.st_mtime_ns), encoder)
    return _placed(chunk, _path_of(planned.place), {"url": planned.place})


def _placed(chunk: Chunk, path: Path, facts: Mapping[str, Any]) -> Chunk:
    """The chunk of a file that was fetched, at the place where it came from."""
    chunk.source = Source(path, chunk.source.modality, -1, -1)
    chunk.items = [replace(item, path=path, facts={**item.facts, **facts}) for item in chunk.items]
    return chunk


def _read_shard(place: str, scratch: Path, encoder: Encoder) -> Iterator[Chunk]:
    """What is in one of img2dataset's files; its photos lie in it as in a folder."""
    told: dict[str, dict[str, Any]] = {}
    damage = ""
    unpack = _unpack_table if place.lower().endswith(".parquet") else _unpack_tar
    try:
        unpack(place, scratch, told)
    except DescryError:
        raise
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
        damage = first_line(error)
    for folder in walk(scratch):
        for source in folder.sources:
            path = _path_of(place) / source.path.relative_to(scratch)
            facts = told.get(_key(source.path.name), {}) if source.modality == "image" else {}
            yield _placed(_chunk(source, encoder), path, facts)
    if damage:
        yield Chunk(Source(_path_of(place), SHARD, -1, -1), error=f"it is damaged or cut off: {damage}")


def _key(name: str) -> str:
    """What the files of one sample have in common, as WebDataset has it: the name up to the first point."""
    return PurePosixPath(name).name.partition(".")[0]


def _unpack_tar(place: str, scratch: Path, told: dict[str, dict[str, Any]]) -> None:
    with _opened(place) as raw, tarfile.open(fileobj=raw, mode="r|*") as tar:
        for member in tar:
            if not member.isfile():
                continue
            if member.name.endswith(".json"):
                with suppress(ValueError, RecursionError):
                    row = json.loads((tar.extractfile(member) or raw).read())
                    told[_key(member.name)] = facts_of(row) if isinstance(row, dict) else {}
            else:
                tar.extract(member, scratch, filter="data")


def _unpack_table(place: str, scratch: Path, told: dict[str, dict[str, Any]]) -> None:
    """A table without photos, as lies beside each tar, has nothing to unpack."""
    pa = pyarrow_for(Path(place))
    with _opened(place) as raw:
        table = pa.parquet.ParquetFile(raw)
        pictures = [name for name in table.schema_arrow.names if name in PICTURES]
        for batch in table.iter_batches(BATCH) if pictures else ():
            for row in batch.to_pylist():
                key = f"{len(told):09}" if row.get("key") is None else _key(str(row["key"]))
                told[key] = facts_of(row)
                content = {name: row[name] for name in pictures if isinstance(row[name], bytes)}
                for name, picture in content.items():
                    (scratch / f"{key}.{name}").write_bytes(picture)
                if content and isinstance(row.get("caption"), str):
                    (scratch / f"{key}.txt").write_text(" ".join(row["caption"].split()), encoding="utf-8")


@contextmanager
def _opened(place: str) -> Iterator[Any]:
    """The bytes of a file here or in a store."""
    if not is_remote(place):
        with Path(place).open("rb") as file:
            yield file
        return
    with _of_fsspec(place):
        system, key = _store(place)
        file = system.open(key, "rb")
    with file:
        yield file


class Embedder:
    """An actor: embeds what was read, and writes a partition of it."""

    def __init__(self, job: Job, is_gpu: bool) -> None:
        self._job = job
        self._encoder = _encoder(job.encoder, job.checksum, job.device)
        self._batch = TASK if is_gpu else BATCH  # a tower cuts what a GPU does at once itself

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """A partition of one piece of a task; tells how many items it has, and which files failed."""
        chunks: list[Chunk] = pickle.loads(batch["chunks"][0])
        name, first, out = str(batch["name"][0]), int(batch["first"][0]), self._job.out
        for some in batches(chunks, self._batch, weight=len):
            embed_chunks(some, self._encoder)
        rows: list[tuple[Any, ...]] = []
        vectors = [np.zeros((0, self._job.dimension), np.float32)]
        for chunk in chunks:
            if chunk.rows is not None:
                if same := MODALITIES[chunk.source.modality].same_item:
                    chunk.keep(distinct(chunk.rows, None, same))
                rows += _rows(chunk, first + len(rows))
                vectors.append(chunk.rows)
        failures = [Failure(chunk.source.path, chunk.error) for chunk in chunks if chunk.error is not None]
        _write_failures(out / "failed" / f"{name}.parquet", failures)
        origin = Origin(self._job.encoder, self._job.checksum)
        with atomic_write(out / f"{name}.parquet") as new:
            write_rows(new, origin, self._job.dimension, [(rows, np.concatenate(vectors))] if rows else [])
        told = json.dumps([[str(failure.path), failure.reason] for failure in failures])
        counts = {"planned": [int(batch["planned"][0])], "files": [len(chunks)], "items": [len(rows)]}
        return {**counts, "failures": [told]}


def _rows(chunk: Chunk, first: int) -> list[tuple[Any, ...]]:
    """The rows of an export, without the vectors."""
    source, digest = chunk.source, (chunk.fingerprint or b"").hex()
    return [
        (id, *(_columns(item, source, digest)[name] for name in COLUMNS)) for id, item in enumerate(chunk.items, first)
    ]


def _columns(item: Item, source: Source, digest: str) -> dict[str, Any]:
    return {
        "modality": item.modality,
        "path": str(source.path),
        "part": item.part,
        "text": item.text,
        "facts": facts_json(item.facts),
        "file_size": source.size,
        "mtime_ns": source.mtime_ns,
        "fingerprint": digest,
    }

"""What a vector engine has to do here, how that is timed, and the engines; runs inside a peer's own environment.

`python -m benchmarks.engines build|search ENGINE DATA FOLDER` prints JSON. Only numpy and the standard library are
imported here, and a peer where it is used: its environment holds no Descry. Building and searching are processes of
their own, so that the memory of one is not counted for the other; what is built is changed last. Searching keeps to one
core, one question at a time. A scan by numpy of the same float32 vectors, timed in the same process, is the measure
that carries over from machine to machine.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

K = 10

# What is asked of every engine that can be told how hard to look, and the questions whose time is taken.
TARGET_RECALL = 0.98
TIMED, ROUNDS = 100, 5

# Seconds for one round of questions: a slow engine is asked fewer of them, but at least `FEWEST`.
PATIENCE, FEWEST = 5.0, 8

PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Data:
    """Vectors `[n, dim]`, float32 unit rows, in a file, with questions and their true neighbours, by place."""

    folder: Path

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return len(self.rows())

    @property
    def dimension(self) -> int:
        """Their length."""
        return int(self.rows().shape[1])

    def rows(self) -> Float32Array:
        """All vectors, as a map of the file."""
        rows: Float32Array = np.load(self.folder / "rows.npy", mmap_mode="r")
        return rows

    def pieces(self) -> Iterator[tuple[Int64Array, Float32Array]]:
        """Places and vectors, read piece by piece and not mapped, so that they do not count as memory used."""
        path, mapped = self.folder / "rows.npy", self.rows()
        offset, count, dimension = int(getattr(mapped, "offset", 0)), *mapped.shape
        del mapped
        for start in range(0, count, PIECE):
            size = min(PIECE, count - start)
            rows = np.fromfile(path, np.float32, size * dimension, offset=offset + start * dimension * 4)
            yield np.arange(start, start + size, dtype=np.int64), rows.reshape(size, dimension)

    def questions(self, kind: str) -> tuple[Float32Array, Int64Array]:
        """Questions `[q, dim]` of a kind and the places `[q, K]` of their nearest vectors."""
        return np.load(self.folder / f"{kind}.npy"), np.load(self.folder / f"{kind}-truth.npy")


class Engine:
    """A vector engine. `knobs` are what its search can be told, from quick to thorough; none if nothing.

    What an engine has chosen by itself it may tell in `chosen`, once it is open.
    """

    knobs: Sequence[Any] = ()

    def build(self, data: Data, folder: Path) -> None:
        """Makes the index of all vectors, under their places as ids, in the folder."""
        raise NotImplementedError

    def open(self, folder: Path) -> None:
        """Opens what `build` has made, to search and change it."""
        raise NotImplementedError

    def turn(self, knob: Any) -> None:
        """Sets how hard to look."""

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        """The ids of the `k` nearest to a question `[dim]`, the nearest first."""
        raise NotImplementedError

    def add(self, id: int, row: Float32Array) -> None:
        """Adds a vector to what is open. Raises `NotImplementedError` where that takes a rebuild."""
        raise NotImplementedError

    def remove(self, id: int) -> None:
        """Removes one. Raises `NotImplementedError` where that takes a rebuild."""
        raise NotImplementedError


def build(engine: Engine, data: Data, folder: Path) -> dict[str, Any]:
    """Processor seconds and peak memory of building into an empty folder, and the size of all files in it then."""
    folder.mkdir(parents=True, exist_ok=True)
    cpu = time.process_time()
    engine.build(data, folder)
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "build cpu seconds": time.process_time() - cpu,
        "build megabytes": peak_megabytes(),
        "bytes a vector": held / data.count,
    }


def search(engine: Engine, data: Data, folder: Path) -> dict[str, Any]:
    """Recalls, milliseconds a question, the same in scans by numpy, memory, and whether it takes and gives vectors."""
    engine.open(folder)
    questions, truth = data.questions("aside")
    knob = _tuned(engine, questions[::2], truth[::2])
    timed = questions[: _affordable(lambda: engine.search(questions[0], K))][:TIMED]
    memory = peak_megabytes()
    rows = np.ascontiguousarray(data.rows())
    rounds = [
        (_taken(lambda row: engine.search(row, K), timed), _taken(lambda row: rows @ row, questions[:FEWEST]))
        for _ in range(ROUNDS)
    ]
    # the median question, each taken at its quickest round: by the clock, and of the processor
    searches, scans = (1000 * np.median(np.min(column, axis=0), axis=1) for column in zip(*rounds, strict=True))
    near, near_truth = data.questions("near")
    return {
        **dict(zip(("milliseconds", "cpu milliseconds"), searches.tolist(), strict=True)),
        **dict(zip(("numpy scan milliseconds", "numpy scan cpu milliseconds"), scans.tolist(), strict=True)),
        "recall, questions aside": recall(engine, questions[1::2], truth[1::2]),
        "recall, questions near": recall(engine, near, near_truth),
        "chosen": str(getattr(engine, "chosen", knob) or ""),
        "megabytes": memory,
        **changed(engine, data, questions[0]),
    }


def changed(engine: Engine, data: Data, question: Float32Array) -> dict[str, str]:
    """Whether a vector can be added and removed without a rebuild; the folder is not as it was afterwards."""
    if engine.knobs:
        engine.turn(engine.knobs[-1])
    far = np.random.default_rng(7).standard_normal(data.dimension).astype(np.float32)  # its own question finds it first
    far /= np.linalg.norm(far)

    def add() -> bool:
        engine.add(data.count, far)
        return int(engine.search(far, K)[0]) == data.count

    def remove() -> bool:
        found = int(engine.search(question, K)[0])
        engine.remove(found)
        return found not in map(int, engine.search(question, K))

    return {"add": _can(add), "remove": _can(remove)}


def one_core() -> None:
    """Keeps this process, and every thread that a library starts, to one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def peak_megabytes() -> float:
    """The most memory that this process had.

    Linux tells what its parent had, if that was more, where other systems tell the process's own.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        peaks = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(peaks[0]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _affordable(call: Callable[[], object]) -> int:
    """How many questions can be asked within the patience that there is."""
    call()
    began = time.perf_counter()
    call()
    return max(FEWEST, int(PATIENCE / (time.perf_counter() - began)))


def recall(engine: Engine, questions: Float32Array, truth: Int64Array) -> float:
    """The share of the true neighbours that are found, of as many questions as there is patience for."""
    affordable = _affordable(lambda: engine.search(questions[0], K))
    questions, truth = questions[:affordable], truth[:affordable]
    hits = sum(
        len(set(map(int, engine.search(question, K))) & set(true.tolist()))
        for question, true in zip(questions, truth, strict=True)
    )
    return hits / truth.size


def _tuned(engine: Engine, questions: Float32Array, truth: Int64Array) -> Any:
    """Turns to the quickest setting that reaches the wished recall, or to the most thorough one."""
    for knob in engine.knobs:
        engine.turn(knob)
        if recall(engine, questions, truth) >= TARGET_RECALL:
            return knob
    return engine.knobs[-1] if engine.knobs else None


def _taken(call: Callable[[Float32Array], object], questions: Float32Array) -> Float64Array:
    """What each question takes `[2, q]`: seconds by the clock, seconds of all threads' processors."""
    times = []
    for question in questions:
        began, cpu = time.perf_counter(), time.process_time()
        call(question)
        times.append((time.perf_counter() - began, time.process_time() - cpu))
    return np.array(times).T


def _can(change: Callable[[], bool]) -> str:
    try:
        return "yes" if change() else "no: it is not seen"
    except NotImplementedError:
        return "no"


# the engines


class Descry(Engine):
    """Descry as its users have it: a library with paths and facts, whose index `descry optimize` has chosen.

    Its vectors are those of the data, made by the same recipe. A library's ids begin with one.
    """

    def build(self, data: Data, folder: Path) -> None:
        with _library(data, folder) as library:  # tuned with every second question, as the other engines are
            library.indexes.optimize("image", data.questions("aside")[0][::2], recall=TARGET_RECALL)

    def open(self, folder: Path) -> None:
        from indexer.library import Library

        self._library = library = Library.open(folder / "library")
        self._index, chosen = library.index("image"), library.indexes.parameters("image")
        self.chosen = f"{chosen.nprobe} of {chosen.nlist} lists" if chosen else "exact"
        self._added: dict[int, int] = {}

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        return [self._added.get(id, id - 1) for id in self._index.search(question[np.newaxis], k)[1][0].tolist()]

    def add(self, id: int, row: Float32Array) -> None:
        place = len(self._library.catalog.stored)  # behind the texts, whose checksums the catalog keeps
        self._added[place] = id
        self._library.catalog.stored.write(np.array([place]), row[np.newaxis])
        self._index.add(np.array([place]))

    def remove(self, id: int) -> None:
        self._index.remove(np.array([id + 1], np.int64))


class DescryExact(Descry):
    """The same library before `descry optimize`: every vector is looked at."""

    def build(self, data: Data, folder: Path) -> None:
        with _library(data, folder) as library, library.lock():
            library.indexes.save()


def _library(data: Data, folder: Path) -> Any:
    from benchmarks.synthetic import named_only, write_library
    from indexer.library import Library

    write_library(folder / "library", data.count, named_only(data.dimension))
    return Library.open(folder / "library", readonly=False)


class FaissFlat(Engine):
    """FAISS without any approximation: float32, inner product; the ids are ours, so that removing renames none."""

    def build(self, data: Data, folder: Path) -> None:
        import faiss

        index = faiss.index_factory(data.dimension, "IDMap2,Flat", faiss.METRIC_INNER_PRODUCT)
        for ids, rows in data.pieces():
            index.add_with_ids(rows, ids)
        faiss.write_index(index, str(folder / "knn.index"))

    def open(self, folder: Path) -> None:
        import faiss

        self._index: Any = faiss.read_index(str(folder / "knn.index"))

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        ids: list[int] = self._index.search(question[np.newaxis], k)[1][0].tolist()
        return ids

    def add(self, id: int, row: Float32Array) -> None:
        self._index.add_with_ids(row[np.newaxis], np.array([id], np.int64))

    def remove(self, id: int) -> None:
        try:
            self._index.remove_ids(np.array([id], np.int64))
        except RuntimeError as error:
            raise NotImplementedError from error


class Autofaiss(FaissFlat):
    """It chooses kind and parameters of a FAISS index by itself; clip-retrieval builds its indexes by it."""

    def build(self, data: Data, folder: Path) -> None:
        from autofaiss import build_index

        with tempfile.TemporaryDirectory() as embeddings:
            (Path(embeddings) / "rows.npy").symlink_to((data.folder / "rows.npy").resolve())
            build_index(
                embeddings=embeddings,
                index_path=str(folder / "knn.index"),
                index_infos_path=str(folder / "infos.json"),
                metric_type="ip",
                max_index_memory_usage="4G",
                current_memory_available="16G",
            )

    def open(self, folder: Path) -> None:
        super().open(folder)
        self.chosen = json.loads((folder / "infos.json").read_text())["index_key"]

    def add(self, id: int, row: Float32Array) -> None:
        if self._index.ntotal != id:
            raise NotImplementedError
        self._index.add(row[np.newaxis])


class Hnswlib(Engine):
    """hnswlib: the original HNSW graph, float32. The inner product of unit rows is the cosine."""

    knobs = (16, 32, 64, 128, 256, 512, 1024)

    def build(self, data: Data, folder: Path) -> None:
        import hnswlib

        index = hnswlib.Index(space="ip", dim=data.dimension)
        # adding keeps within the number that is named here; a larger one copies the index
        index.init_index(max_elements=data.count + 1, M=16, ef_construction=200)
        for ids, rows in data.pieces():
            index.add_items(rows, ids)
        index.save_index(str(folder / "index.bin"))
        (folder / "dimension").write_text(str(data.dimension))

    def open(self, folder: Path) -> None:
        import hnswlib

        self._index: Any = hnswlib.Index(space="ip", dim=int((folder / "dimension").read_text()))
        self._index.load_index(str(folder / "index.bin"))
        self._index.set_num_threads(1)

    def turn(self, knob: Any) -> None:
        self._index.set_ef(knob)

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        ids: list[int] = self._index.knn_query(question, k)[0][0].tolist()
        return ids

    def add(self, id: int, row: Float32Array) -> None:
        self._index.add_items(row[np.newaxis], np.array([id]))

    def remove(self, id: int) -> None:
        self._index.mark_deleted(id)


class Usearch(Engine):
    """usearch: an HNSW graph over float16, its vectors beside the edges; everything else by default."""

    knobs = Hnswlib.knobs

    def build(self, data: Data, folder: Path) -> None:
        from usearch.index import Index

        index = Index(ndim=data.dimension, metric="ip", dtype="f16")
        for ids, rows in data.pieces():
            index.add(ids, rows)
        index.save(str(folder / "index.usearch"))

    def open(self, folder: Path) -> None:
        from usearch.index import Index

        self._index: Any = Index.restore(str(folder / "index.usearch"))

    def turn(self, knob: Any) -> None:
        self._index.expansion_search = knob

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        ids: list[int] = self._index.search(question, k, threads=1).keys.tolist()
        return ids

    def add(self, id: int, row: Float32Array) -> None:
        self._index.add(id, row)

    def remove(self, id: int) -> None:
        self._index.remove(id)


class SqliteVec(Engine):
    """sqlite-vec: a virtual table that looks at every vector; the sqlite3 of many a Python loads no extensions."""

    def build(self, data: Data, folder: Path) -> None:
        self.open(folder)
        vector = f"float[{data.dimension}] distance_metric=cosine"
        self._db.execute(f"CREATE VIRTUAL TABLE v USING vec0(id INTEGER PRIMARY KEY, e {vector})")
        with self._db:
            for ids, rows in data.pieces():
                pairs = ((id, row.tobytes()) for id, row in zip(ids.tolist(), rows, strict=True))
                self._db.executemany("INSERT INTO v (id, e) VALUES (?, ?)", pairs)

    def open(self, folder: Path) -> None:
        import apsw
        import sqlite_vec

        self._db: Any = apsw.Connection(str(folder / "vectors.sqlite3"))
        self._db.enable_load_extension(True)
        self._db.load_extension(sqlite_vec.loadable_path())

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        sql = "SELECT id FROM v WHERE e MATCH ? AND k = ? ORDER BY distance"
        return [id for (id,) in self._db.execute(sql, (question.tobytes(), k))]

    def add(self, id: int, row: Float32Array) -> None:
        self._db.execute("INSERT INTO v (id, e) VALUES (?, ?)", (id, row.tobytes()))

    def remove(self, id: int) -> None:
        self._db.execute("DELETE FROM v WHERE id = ?", (id,))


class Lancedb(Engine):
    """LanceDB without an index: a table of ids and float32 vectors, cosine."""

    def build(self, data: Data, folder: Path) -> None:
        import lancedb
        import pyarrow as pa

        def batches() -> Iterator[Any]:
            for ids, rows in data.pieces():
                vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), data.dimension)
                yield pa.record_batch([pa.array(ids), vectors], schema=schema)

        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), data.dimension))])
        lancedb.connect(folder).create_table("vectors", batches(), schema=schema)

    def open(self, folder: Path) -> None:
        import lancedb

        self._table: Any = lancedb.connect(folder).open_table("vectors")

    def search(self, question: Float32Array, k: int) -> Sequence[int]:
        ids: list[int] = self._query(question).limit(k).select(["id"]).to_arrow()["id"].to_pylist()
        return ids

    def _query(self, question: Float32Array) -> Any:
        return self._table.search(question).distance_type("cosine")

    def add(self, id: int, row: Float32Array) -> None:
        self._table.add([{"id": id, "vector": row}])

    def remove(self, id: int) -> None:
        self._table.delete(f"id = {id}")


class LancedbIvf(Lancedb):
    """LanceDB with the index that it makes by default: inverted lists of product-quantised vectors.

    A knob is the lists that are probed, and how many times k answers are ranked anew by their whole vectors: ten times,
    as its documentation advises, and more where all lists are not enough.
    """

    knobs = ((8, 10), (16, 10), (32, 10), (64, 10), (64, 50), (128, 50), (256, 50), (256, 200), (512, 200), (512, 500))

    def build(self, data: Data, folder: Path) -> None:
        import lancedb

        super().build(data, folder)
        lancedb.connect(folder).open_table("vectors").create_index(metric="cosine", vector_column_name="vector")

    def turn(self, knob: Any) -> None:
        self._probes, self._refined = knob
        self.chosen = f"{self._probes} lists, {self._refined} x k refined"

    def _query(self, question: Float32Array) -> Any:
        return super()._query(question).nprobes(self._probes).refine_factor(self._refined)


# inside the environment


def main(step: str, engine: str, data: str, folder: str) -> None:
    """One step of an engine, "module:class"; the last line on stdout is its result."""
    if step != "build":
        one_core()  # before the peer is imported, which may start threads
    module, _, kind = engine.partition(":")
    made = getattr(import_module(module), kind)()
    print(json.dumps((build if step == "build" else search)(made, Data(Path(data)), Path(folder))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

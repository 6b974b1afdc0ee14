"""Another encoder for a library: every item is embedded anew, and the vectors change all at once or not at all.

The new vectors gather in the file of the catalog's next generation, so that a run can be cut off and go on, and the
library answers with its old ones all the while. One transaction takes them over; ids, tags and facts stay.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, TypeVar

import numpy as np

from indexer.encoders.base import Encoder
from indexer.errors import LibraryError, SourceError
from indexer.items import Float32Array, Item
from indexer.library import TEXT_TOWER, Library
from indexer.modalities import MODALITIES
from indexer.modalities.base import ReadOptions
from indexer.photos.opening import MAX_PIXELS
from indexer.pipeline import BATCH
from indexer.report import Report, Watcher
from indexer.storage.files import Failure
from indexer.storage.stored_vectors import StoredVectors, vectors_file
from indexer.threads import ahead

SCRATCH = ".reembedding.sqlite3"

# Items whose rows are read from the catalog together.
AT_ONCE = 512

Result = TypeVar("Result")


def reembed(
    library: Library, encoder: Encoder, *, max_pixels: int = MAX_PIXELS, watcher: Watcher | None = None
) -> Report:
    """Gives every item of the library this encoder's vector, and the library this encoder.

    Raises `LibraryError` where photos cannot be read, naming the first: then all is as it was, and the next run
    goes on from there. Raises `LibraryLocked` while another process writes. On Ctrl-C what is done is kept for
    the next run, and the report says that it was interrupted.
    """
    started = time.monotonic()
    report = Report()
    with library.lock():
        library.catalog.files.forget_displaced()
        with closing(_Gathered(library, encoder)) as gathered:
            try:
                _embed_all(library, encoder, gathered, report, watcher or Watcher(), max_pixels)
            except KeyboardInterrupt:
                report.interrupted = True
        if not report.interrupted:
            _refuse_gaps(library, report)
            _take_over(library, encoder)
            library.save_indexes()
    report.seconds = time.monotonic() - started
    return report


class _Gathered:
    """The new vectors so far, and a scratch file that says whose they are and which; of a third encoder, none."""

    def __init__(self, library: Library, encoder: Encoder) -> None:
        catalog = library.catalog
        file = vectors_file(catalog.path, catalog.generation + 1)
        self._stored = StoredVectors(file, encoder.dimension)
        self._scratch = sqlite3.connect(library.path / SCRATCH, isolation_level=None)
        self._scratch.execute("CREATE TABLE IF NOT EXISTS done (id INTEGER PRIMARY KEY)")
        self._scratch.execute("CREATE TABLE IF NOT EXISTS encoder (name TEXT, checksum TEXT, file TEXT)")
        whose = (encoder.name, encoder.checksum, file.name)
        if self._scratch.execute("SELECT * FROM encoder").fetchall() != [whose] or not file.exists():
            self._begin(whose)

    def _begin(self, whose: tuple[str, str, str]) -> None:
        self._stored.path.unlink(missing_ok=True)
        self._scratch.execute("BEGIN")
        with self._scratch:
            self._scratch.execute("DELETE FROM done")
            self._scratch.execute("DELETE FROM encoder")
            self._scratch.execute("INSERT INTO encoder VALUES (?, ?, ?)", whose)

    def ids(self) -> set[int]:
        """The items that have a new vector."""
        return {id for (id,) in self._scratch.execute("SELECT id FROM done")}

    def put(self, ids: Sequence[int], rows: Float32Array) -> None:
        """Keeps vectors of items `[n, dim]`, also if the power goes."""
        self._stored.write(np.array(ids, np.int64), rows)
        self._stored.sync()
        self._scratch.execute("BEGIN")
        with self._scratch:
            self._scratch.executemany("INSERT OR REPLACE INTO done VALUES (?)", [(id,) for id in ids])

    def close(self) -> None:
        """Closes the files."""
        self._stored.close()
        self._scratch.close()


def _embed_all(
    library: Library,
    encoder: Encoder,
    gathered: _Gathered,
    report: Report,
    watcher: Watcher,
    max_pixels: int,
) -> None:
    done = gathered.ids()
    left = [id for id in library.catalog.all_ids() if id not in done]
    report.unchanged = len(done)
    watcher.begin(len(left))
    read = _Reader(encoder, max_pixels)
    try:
        for start in range(0, len(left), AT_ONCE):
            items = library.catalog.items(left[start : start + AT_ONCE])
            for batch in _batches(ahead(read, items), BATCH):
                _store(gathered, encoder, [outcome for outcome in batch if not isinstance(outcome, Failure)], report)
                for failure in (outcome for outcome in batch if isinstance(outcome, Failure)):
                    report.failures.append(failure)
                    watcher.failed(failure)
                watcher.advance(len(batch))
    finally:
        watcher.end()


class _Reader:
    """Makes an item ready to be embedded, on loader threads."""

    def __init__(self, encoder: Encoder, max_pixels: int) -> None:
        self._encoder, self._max_pixels = encoder, max_pixels

    def __call__(self, item: Item) -> tuple[Item, Any] | Failure:
        try:
            return item, self._encoder.tower(item.modality).prepare(self._value(item))
        except (OSError, SourceError) as error:
            return Failure(item.path, str(error))

    def _value(self, item: Item) -> Any:
        """What the item is: the text that the catalog holds of it, or what its file shows."""
        if item.text:
            return item.text
        options = ReadOptions(self._encoder.tower(item.modality).fits, self._max_pixels)
        for found, value in MODALITIES[item.modality].read(item.path, options):
            if found.part == item.part:
                return value
        raise SourceError("what was indexed of it is not there any more; run `descry index` first")


def _batches(results: Iterator[Result], size: int) -> Iterator[list[Result]]:
    batch: list[Result] = []
    for result in results:
        batch.append(result)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _store(gathered: _Gathered, encoder: Encoder, batch: Sequence[tuple[Item, Any]], report: Report) -> None:
    """Embeds what is ready and keeps it."""
    by_modality: dict[str, list[tuple[Item, Any]]] = {}
    for item, array in batch:
        by_modality.setdefault(item.modality, []).append((item, array))
    if batch:
        parts = [encoder.tower(name).embed([array for _, array in own]) for name, own in by_modality.items()]
        ids = [item.id for own in by_modality.values() for item, _ in own if item.id is not None]
        gathered.put(ids, np.concatenate(parts))
    report.embedded += len(batch)


def _refuse_gaps(library: Library, report: Report) -> None:
    if report.failures:
        first = report.failures[0]
        raise LibraryError(
            f"{len(report.failures)} of the library's files cannot be embedded anew, as {first.path} ({first.reason}): "
            f"the library {library.path} keeps its encoder. Bring them back, or let `descry index` or `descry remove` "
            "forget them, and run the same command again: it goes on from here."
        )


def _take_over(library: Library, encoder: Encoder) -> None:
    """All new vectors become the library's in one transaction.

    The light text tower goes first and its successor comes last: a process that is killed between leaves a library
    without one, which loads the whole encoder instead, never one whose tower and vectors do not fit.
    """
    tower, successor = library.path / TEXT_TOWER, library.path / f"{TEXT_TOWER}.next"
    shutil.rmtree(successor, ignore_errors=True)
    if encoder.store_text is not None:
        encoder.store_text(successor)
    shutil.rmtree(tower, ignore_errors=True)
    library.catalog.begin_generation(encoder.name, encoder.checksum, encoder.dimension)
    if successor.is_dir():
        successor.rename(tower)
    (library.path / SCRATCH).unlink()

"""Another encoder for a library: every item is embedded anew, and the vectors change all at once or not at all.

The new vectors gather in a file of their own beside the catalog, so that a run can be cut off and go on, and the
library answers with its old ones all the while. One transaction takes them over; ids, tags and facts stay.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from indexer.encoders.base import Encoder
from indexer.errors import LibraryError, SourceError
from indexer.files import Failure
from indexer.items import Item
from indexer.library import TEXT_TOWER, Library
from indexer.modalities import MODALITIES
from indexer.modalities.base import ReadOptions
from indexer.packing import pack
from indexer.pictures import MAX_PIXELS
from indexer.pipeline import BATCH
from indexer.report import Report, Watcher
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
        with closing(_scratch(library.path / SCRATCH, encoder)) as scratch:
            try:
                _embed_all(library, encoder, scratch, report, watcher or Watcher(), max_pixels)
            except KeyboardInterrupt:
                report.interrupted = True
        if not report.interrupted:
            _refuse_gaps(library, report)
            _take_over(library, encoder)
            library.save_indexes()
    report.seconds = time.monotonic() - started
    return report


def _scratch(path: Path, encoder: Encoder) -> sqlite3.Connection:
    """The file that gathers the new vectors; what it holds of a third encoder is thrown away."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, vector BLOB NOT NULL)")
    connection.execute("CREATE TABLE IF NOT EXISTS encoder (name TEXT, checksum TEXT)")
    whose = (encoder.name, encoder.checksum)
    if connection.execute("SELECT name, checksum FROM encoder").fetchall() != [whose]:
        with connection:
            connection.execute("BEGIN")
            connection.execute("DELETE FROM vectors")
            connection.execute("DELETE FROM encoder")
            connection.execute("INSERT INTO encoder VALUES (?, ?)", whose)
    return connection


def _embed_all(
    library: Library,
    encoder: Encoder,
    scratch: sqlite3.Connection,
    report: Report,
    watcher: Watcher,
    max_pixels: int,
) -> None:
    done = {id for (id,) in scratch.execute("SELECT id FROM vectors")}
    left = [id for id in library.catalog.all_ids() if id not in done]
    report.unchanged = len(done)
    watcher.begin(len(left))
    read = _Reader(encoder, max_pixels)
    try:
        for start in range(0, len(left), AT_ONCE):
            items = library.catalog.items(left[start : start + AT_ONCE])
            for batch in _batches(ahead(read, items), BATCH):
                _store(scratch, encoder, [outcome for outcome in batch if not isinstance(outcome, Failure)], report)
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


def _store(scratch: sqlite3.Connection, encoder: Encoder, batch: Sequence[tuple[Item, Any]], report: Report) -> None:
    """Embeds what is ready and commits it."""
    rows = []
    for modality in {item.modality for item, _ in batch}:
        own = [(item, array) for item, array in batch if item.modality == modality]
        vectors = encoder.tower(modality).embed([array for _, array in own])
        rows += [(item.id, blob) for (item, _), blob in zip(own, pack(vectors), strict=True)]
    scratch.execute("BEGIN")
    scratch.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
    scratch.execute("COMMIT")
    report.embedded += len(rows)


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
    library.catalog.replace_vectors(library.path / SCRATCH, encoder.name, encoder.checksum, encoder.dimension)
    if successor.is_dir():
        successor.rename(tower)
    (library.path / SCRATCH).unlink()

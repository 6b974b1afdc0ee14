"""Another encoder for a library: every item is embedded anew, and the vectors change all at once or not at all.

The new vectors gather in the file of the catalog's next generation, so that a run can be cut off and go on, and the
library answers with its old ones all the while. One transaction takes them over; ids, tags and facts stay. A photo is
embedded as its file is now, and its fingerprint changes with it: the next `index` tells by it what moved or changed.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from indexer.chunks import ReadFile, reason
from indexer.encoders.base import Encoder
from indexer.errors import LibraryError, SourceError, TookTooLong, cannot_write
from indexer.items import Float32Array, Item, Source, batches
from indexer.library import TEXT_TOWER, Library
from indexer.modalities import MODALITIES
from indexer.pipeline import BATCH
from indexer.report import Report, Watcher
from indexer.storage.catalog import StoredFile
from indexer.storage.database import in_our_words
from indexer.storage.files import Failure
from indexer.storage.stored_vectors import StoredVectors, vectors_file
from indexer.threads import ahead

SCRATCH = ".reembedding.sqlite3"

# Items whose rows are read from the catalog together.
AT_ONCE = 512


def reembed(library: Library, encoder: Encoder, *, watcher: Watcher | None = None) -> Report:
    """Gives every item of the library this encoder's vector, and the library this encoder.

    Where the library has it already, nothing is embedded, and an unfinished change to another one is given up.
    Raises `LibraryError` where photos cannot be read, naming the first: then all is as it was, and the next run
    goes on from there. Raises `LibraryLocked` while another process writes. On Ctrl-C what is done is kept for
    the next run, and the report says that it was interrupted.
    """
    started = time.monotonic()
    report = Report()
    with library.lock():
        if library.has(encoder):
            report.unchanged = len(library.catalog.all_ids())
            give_up(library)
            return report
        library.catalog.files.forget_displaced()
        with _in_our_words(library):
            run = _Run(library, encoder, report, watcher or Watcher())
            with closing(run.gathered):
                try:
                    run.embed_all()
                except KeyboardInterrupt:
                    report.interrupted = True
            if not report.interrupted:
                run.refuse_gaps()
                run.take_over()
        if not report.interrupted:
            library.indexes.save()
    report.seconds = time.monotonic() - started
    return report


@contextmanager
def _in_our_words(library: Library) -> Iterator[None]:
    """Turns what the disk and SQLite refuse into `LibraryError`."""
    try:
        with in_our_words(library.path / SCRATCH):
            yield
    except OSError as error:
        raise cannot_write(library.path, SCRATCH, error) from error


class Unfinished(NamedTuple):
    """A change to another encoder that was cut off, and how many items have its vectors already."""

    encoder: str
    items: int


def unfinished(library: Library) -> Unfinished | None:
    """The change to another encoder that waits to be gone on with; None if there is none."""
    path, catalog = library.path / SCRATCH, library.catalog
    if not path.is_file():
        return None
    with suppress(sqlite3.Error), closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True)) as scratch:
        name, _, file = scratch.execute("SELECT * FROM encoder").fetchone() or ("", "", "")
        if file == vectors_file(catalog.path, catalog.generation + 1).name:  # else a run that ended was killed tidying
            return Unfinished(name, scratch.execute("SELECT count(*) FROM embedded").fetchone()[0])
    return None


def give_up(library: Library) -> None:
    """Forgets what was embedded for another encoder. Holding the lock is the caller's part."""
    catalog = library.catalog
    for file in (library.path / SCRATCH, vectors_file(catalog.path, catalog.generation + 1)):
        file.unlink(missing_ok=True)


class _Gathered:
    """The new vectors so far, and a scratch file that says whose they are and which; of a third encoder, none."""

    def __init__(self, library: Library, encoder: Encoder) -> None:
        catalog = library.catalog
        file = vectors_file(catalog.path, catalog.generation + 1)
        self._stored = StoredVectors(file, encoder.dimension)
        scratch = library.path / SCRATCH
        if scratch.is_symlink():  # SQLite would write through it
            scratch.unlink()
        self._scratch = sqlite3.connect(scratch, isolation_level=None)
        # the fingerprint is that of the bytes that were embedded; of what the catalog holds itself there is none
        self._scratch.execute("CREATE TABLE IF NOT EXISTS embedded (id INTEGER PRIMARY KEY, fingerprint BLOB)")
        self._scratch.execute("CREATE TABLE IF NOT EXISTS encoder (name TEXT, checksum TEXT, file TEXT)")
        whose = (encoder.name, encoder.checksum, file.name)
        if self._scratch.execute("SELECT * FROM encoder").fetchall() != [whose] or not file.exists():
            self._begin(whose)

    def _begin(self, whose: tuple[str, str, str]) -> None:
        self._stored.path.unlink(missing_ok=True)
        self._scratch.execute("BEGIN")
        with self._scratch:
            self._scratch.execute("DELETE FROM embedded")
            self._scratch.execute("DELETE FROM encoder")
            self._scratch.execute("INSERT INTO encoder VALUES (?, ?, ?)", whose)

    def among(self, ids: Sequence[int]) -> dict[int, bytes | None]:
        """Those of the ids that have a new vector, each with the fingerprint of what was embedded."""
        marks = ",".join("?" * len(ids))
        return dict(self._scratch.execute(f"SELECT id, fingerprint FROM embedded WHERE id IN ({marks})", ids))

    def put(self, ids: Sequence[int], rows: Float32Array, fingerprints: Sequence[bytes | None]) -> None:
        """Keeps vectors of items `[n, dim]`, also if the power goes."""
        self._stored.write(np.array(ids, np.int64), rows)
        self._stored.sync()
        self._scratch.execute("BEGIN")
        with self._scratch:
            rows_of_scratch = zip(ids, fingerprints, strict=True)
            self._scratch.executemany("INSERT OR REPLACE INTO embedded VALUES (?, ?)", rows_of_scratch)

    def close(self) -> None:
        """Closes the files."""
        self._stored.close()
        self._scratch.close()


@dataclass(frozen=True, slots=True)
class _Ready:
    """Items of one file, each with its array ready to be embedded, and the fingerprint of the bytes that were read."""

    file: StoredFile
    items: Sequence[Item]
    prepared: Sequence[Any]
    fingerprint: bytes | None


class _Run:
    """One run of `reembed`."""

    def __init__(self, library: Library, encoder: Encoder, report: Report, watcher: Watcher) -> None:
        self.library, self.encoder = library, encoder
        self.report, self.watcher = report, watcher
        self.gathered = _Gathered(library, encoder)
        self.fingerprints: dict[int, bytes] = {}  # of files, by id, that are others than the catalog knows

    def embed_all(self) -> None:
        """Embeds every item that has no new vector yet, and keeps what is embedded batch by batch."""
        ids = self.library.catalog.all_ids()
        self.watcher.begin(len(ids))
        try:
            for start in range(0, len(ids), AT_ONCE):
                left = self._left(ids[start : start + AT_ONCE])
                for outcome in batches(ahead(self._prepared, left, overdue=_given_up), BATCH, weight=_items):
                    self._store([ready for ready in outcome if isinstance(ready, _Ready)])
                    for failure in (failure for failure in outcome if isinstance(failure, Failure)):
                        self._fail(failure)
        finally:
            self.watcher.end()

    def _left(self, ids: Sequence[int]) -> Iterator[tuple[StoredFile, list[Item]]]:
        """What has to be embedded of the ids, by files; what was made of other bytes than the catalog's is too."""
        files, done = self.library.catalog.files_of(ids), self.gathered.among(ids)
        items = [
            item
            for item in self.library.catalog.items(ids)
            if item.id is not None and not (item.id in done and done[item.id] in (None, files[item.id].fingerprint))
        ]
        self.report.unchanged += len(ids) - len(items)
        self.watcher.advance(len(ids) - len(items))
        for file, group in groupby(items, key=lambda item: files[item.id or 0]):
            own = list(group)
            self.encoder.tower(MODALITIES[own[0].modality].tower)  # loaded here: it may take longer than a file may
            yield file, own

    def _prepared(self, work: tuple[StoredFile, list[Item]]) -> _Ready | Failure:
        """Makes items of one file ready to be embedded, on loader threads."""
        file, items = work
        first = items[0]
        try:
            if first.text:  # the catalog holds what was embedded
                tower = self.encoder.tower(MODALITIES[first.modality].tower)
                return _Ready(file, items, [tower.prepare(item.text) for item in items], None)
            status = first.path.stat()
            source = Source(first.path, first.modality, status.st_size, status.st_mtime_ns)
            read = ReadFile(source, self.encoder)
            prepared = _of_parts(read, [item.part for item in items])
            read.check_unchanged()
            return _Ready(file, items, prepared, read.fingerprint)
        except (OSError, SourceError) as error:
            return Failure(first.path, reason(error))

    def _store(self, batch: Sequence[_Ready]) -> None:
        """Embeds what is ready, all of a tower in one go, and keeps it."""
        by_tower: dict[str, list[_Ready]] = defaultdict(list)
        for ready in batch:
            by_tower[MODALITIES[ready.items[0].modality].tower].append(ready)
        for tower, own in by_tower.items():
            rows = self.encoder.tower(tower).embed([array for ready in own for array in ready.prepared])
            pairs = [(item.id or 0, ready.fingerprint) for ready in own for item in ready.items]
            self.gathered.put([id for id, _ in pairs], rows, [fingerprint for _, fingerprint in pairs])
        for ready in batch:
            if ready.fingerprint not in (None, self.fingerprints.get(ready.file.id, ready.file.fingerprint)):
                self._note_changed(ready.file, ready.items[0].path, ready.fingerprint)
        done = sum(len(ready.items) for ready in batch)
        self.report.embedded += done
        self.watcher.advance(done)

    def _note_changed(self, file: StoredFile, path: Path, fingerprint: bytes | None) -> None:
        if file.id in self.fingerprints or fingerprint is None:
            self._fail(Failure(path, "it changed while it was read"))
        else:
            self.fingerprints[file.id] = fingerprint

    def _fail(self, failure: Failure) -> None:
        self.report.failures.append(failure)
        self.watcher.failed(failure)

    def refuse_gaps(self) -> None:
        """Raises `LibraryError` unless every item has its vector."""
        if self.report.failures:
            first = self.report.failures[0]
            raise LibraryError(
                f"{len(self.report.failures)} of the library's files cannot be embedded anew, as {first.path} "
                f"({first.reason}): the library {self.library.path} keeps its encoder. Bring them back, or let "
                "`descry index` or `descry remove` forget them, and run the same command again: it goes on from here."
            )

    def take_over(self) -> None:
        """All new vectors become the library's in one transaction.

        The light text tower goes first and its successor comes last: a process that is killed between leaves a library
        without one, which loads the whole encoder instead, never one whose tower and vectors do not fit.
        """
        library, encoder = self.library, self.encoder
        tower, successor = library.path / TEXT_TOWER, library.path / f"{TEXT_TOWER}.next"
        shutil.rmtree(successor, ignore_errors=True)
        library.store_text_tower(encoder, successor)
        shutil.rmtree(tower, ignore_errors=True)
        library.catalog.begin_generation(
            encoder.name, encoder.checksum, encoder.dimension, fingerprints=self.fingerprints
        )
        if successor.is_dir():
            successor.rename(tower)
        (library.path / SCRATCH).unlink()


def _items(result: _Ready | Failure) -> int:
    return len(result.items) if isinstance(result, _Ready) else 1


def _given_up(work: tuple[StoredFile, list[Item]], error: TookTooLong) -> Failure:
    return Failure(work[1][0].path, str(error))


def _of_parts(file: ReadFile, parts: Sequence[str]) -> list[Any]:
    """What is ready to be embedded of a file's parts, in their order; the other parts are not prepared."""
    if open_image := file.modality.open_image:
        return [file.prepare(open_image(file.source.path, part)) for part in parts]
    wanted, found = set(parts), dict[str, Any]()
    for item, value in file.values():
        if item.part in wanted:
            found[item.part] = file.prepare(value)
        if len(found) == len(wanted):
            break
    if len(found) < len(wanted):
        raise SourceError("what was indexed of it is not there any more; run `descry index` first")
    return [found[part] for part in parts]

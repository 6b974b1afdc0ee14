"""Indexing: what is on disk is compared with the catalog, and only the differences are read, embedded and stored.

    survey -> [loader threads: fingerprint, read, prepare] -> embed -> one transaction a batch

Loader threads run ahead of the embedding by a bounded window, so memory does not grow with the
folder. Two batches are under way at once: what one core leaves of a batch, or what storing it takes,
the next one fills. A batch is stored whole or not at all: a run that is killed loses the two.
"""

from __future__ import annotations

import ctypes
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, nullcontext, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from indexer.chunks import Chunk, ChunkReader, distinct, embed_chunks
from indexer.encoders.base import Encoder
from indexer.errors import EncoderUnavailable, TookTooLong
from indexer.items import Float32Array, Source
from indexer.library import Library
from indexer.modalities import MODALITIES
from indexer.photos.memory import BUDGET
from indexer.report import Report, Watcher
from indexer.storage.files import Failure
from indexer.survey import Survey
from indexer.threads import AHEAD, Work, Workers, processors
from indexer.thumbnails import Thumbnails

# Items embedded and committed together; a kill may cost two such batches. Photos a second on two cores, shipped
# encoder, 2,000 photos of 224 x 224, batches of 8 / 16 / 32 / 64 / 128, means of two runs: 110 / 145 / 149 / 121 / 99.
BATCH = 32

# Batches that are embedded at once: with one, the cores wait for the last piece of each, and for what comes between.
UNDER_WAY = 2

# What was given up in this process, whose threads may hang for good: `descry watch` does not try it every time.
GIVEN_UP: dict[Source, str] = {}

# The time of a file whose reading was given up: no file has it, so that the next run takes it for changed.
UNSEEN = -1

# Seconds that Ctrl-C waits for the batches under way: on a CPU most take less, and nobody minds.
GRACE = 0.5

# glibc gives large blocks back to the system as soon as they are freed, and every page of the next photo's is fetched
# and cleared anew, 5 microseconds a page: copying the pixels of a 12-megapixel photo, 2 MB at the decoder's scale,
# takes 0.9 ms instead of 3.5 where they are kept. mallopt's parameters, from <malloc.h>; the largest block that it
# takes, and what the heap keeps: as much as a batch needs.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK, KEPT = 32 << 20, 256 << 20


def index_sources(
    library: Library,
    paths: Iterable[Path | str],
    encoder: Encoder,
    *,
    exclude: Sequence[str] | None = None,
    follow_links: bool | None = None,
    readers: Mapping[str, str] = MappingProxyType({}),
    thumbnails: bool = False,
    watcher: Watcher | None = None,
) -> Report:
    """Brings the library up to date with the folders and files at `paths`.

    `exclude` are gitignore's rules of what to leave out, `follow_links` says whether links to folders are followed,
    `readers` names models by which modalities are read that need one, {"speech": "base"}, "" for not any more: all are
    remembered of each path; None leaves it at what is remembered. With `thumbnails`, photos that are read are
    kept small as well, for whoever looks at them.

    A file that cannot be read is not an error of the run, it is in the report. On Ctrl-C what is done is
    kept, and the report says that it was interrupted. Raises `PathError` for a path that neither exists
    nor was indexed before, `LibraryLocked` while another process writes, `LibraryFull` when the disk is.
    """
    started = time.monotonic()
    library.check(encoder)
    keep_freed_memory()
    watcher = watcher or Watcher()
    report = Report()
    limits = {"max_pixels": BUDGET.pixels, "max_memory": BUDGET.total}
    survey = Survey(
        library.catalog, report, watcher, limits=limits, exclude=exclude, follow_links=follow_links, readers=readers
    )
    with library.lock(), closing(library.thumbnails()) if thumbnails else nullcontext() as small:
        run = _Run(library, encoder, survey, report, watcher, small)
        try:
            run.refresh(paths)
            library.indexes.save()
        except KeyboardInterrupt:  # the indexes are caches: whoever stops a run does not wait for them
            run.report.interrupted = True
    run.report.seconds = time.monotonic() - started
    return run.report


def keep_freed_memory() -> None:
    """Lets this process keep what it frees. Does nothing where the C library has no such setting."""
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, LARGEST_BLOCK)
        library.mallopt(TRIM_THRESHOLD, KEPT)


class Unfinished(NamedTuple):
    """A file of which more chunks come: its id, and the last vector `[dim]` that was stored of it."""

    file_id: int
    last: Float32Array | None


class _Run:
    """One run of `index_sources`: what it works with, and the report that it fills."""

    def __init__(
        self,
        library: Library,
        encoder: Encoder,
        survey: Survey,
        report: Report,
        watcher: Watcher,
        thumbnails: Thumbnails | None,
    ) -> None:
        self.catalog = library.catalog
        self.encoder = encoder
        self.thumbnails = thumbnails
        self.watcher = watcher
        self.report = report
        self.survey = survey
        self.unfinished: dict[Path, Unfinished] = {}  # files of which more chunks come
        self.under_way: deque[tuple[list[Chunk], Future[None]]] = deque()  # batches being embedded, not stored yet
        # threads of their own, so that Ctrl-C need not wait for the end of a batch
        self.embedder = ThreadPoolExecutor(UNDER_WAY, thread_name_prefix="descry-embedder")

    def refresh(self, paths: Iterable[Path | str]) -> None:
        """Brings the paths up to date: first what is new or changed or moved, then what is gone."""
        self._mend()
        self.survey.look_at(paths)
        if self.survey.total:
            self.watcher.begin(self.survey.total)
            try:
                self._index(self.survey.changed())
            except KeyboardInterrupt:
                wait([embedding for _, embedding in self.under_way], GRACE)
                self._store_embedded()
                raise
            finally:
                self.embedder.shutdown(wait=False)
                self.watcher.end()
        # last, because a moved file's vector stays at the old place until the new one was read
        self._forget_vanished()
        self.catalog.files.forget_displaced()
        self.survey.remember()

    def _mend(self) -> None:
        """Has the files read again whose vectors are damaged."""
        damaged = self.catalog.damaged()
        if len(damaged):
            with self.catalog.atomic():
                self.catalog.files.doubt(damaged)

    def _index(self, sources: Iterable[Source]) -> None:
        """Embeds batch after batch, and stores each while the next one is embedded."""
        for batch in self._batches(sources):
            self.under_way.append((batch, self.embedder.submit(embed_chunks, batch, self.encoder)))
            if len(self.under_way) == UNDER_WAY:
                self._store_oldest()
        while self.under_way:
            self._store_oldest()

    def _batches(self, sources: Iterable[Source]) -> Iterator[list[Chunk]]:
        batch: list[Chunk] = []
        for chunk in self._chunks(sources):
            batch.append(chunk)
            if sum(map(len, batch)) >= BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _chunks(self, sources: Iterable[Source]) -> Iterator[Chunk]:
        """The files' chunks in order, read ahead by as much as the window holds."""
        threads = processors()
        loaders = Workers(threads, "descry-loader")
        reader = ChunkReader(self.catalog, self.encoder, self.thumbnails)
        window: deque[tuple[Source, Work[Chunk]]] = deque()

        unavailable: dict[tuple[str, str], str] = {}  # why, by modality and reader

        def load(source: Source, read: Callable[[], Chunk]) -> None:
            modality = MODALITIES[source.modality]
            self.encoder.tower(modality.tower)  # loaded here, as readers are: it may take longer than a file may
            reader = source.modality, source.reader
            if modality.load and reader not in unavailable:
                try:
                    modality.load(source.reader)
                except EncoderUnavailable as error:
                    unavailable[reader] = str(error)
            if why := GIVEN_UP.get(source) or unavailable.get(reader):
                read = partial(_given_up, source, why)
            window.append((source, loaders.submit(read, size=source.size)))

        def oldest() -> Chunk:
            source, loading = window[0]
            self._store_until(loading)
            try:
                chunk = loaders.result(loading)
            except TookTooLong as error:
                GIVEN_UP[source] = str(error)
                chunk = _given_up(source, str(error))
            window.popleft()
            if not chunk.is_last:
                load(source, partial(reader.next, chunk))  # behind the others: a long file does not hold them up
            return chunk

        try:
            for source in sources:
                load(source, partial(reader.first, source))
                while len(window) >= AHEAD * threads:
                    yield oldest()
            while window:
                yield oldest()
        finally:
            loaders.close()
            reader.close()

    def _store_until(self, loading: Future[Chunk]) -> None:
        """Stores what gets embedded until a chunk is there, which may be long in coming."""
        while self.under_way and not loading.done():
            embedding = self.under_way[0][1]
            either: tuple[Future[Any], ...] = (loading, embedding)
            wait(either, return_when=FIRST_COMPLETED)
            if embedding.done():
                self._store_oldest()

    def _store_embedded(self) -> None:
        """Stores what is embedded by now, and waits for nothing."""
        while self.under_way and self.under_way[0][1].done() and not self.under_way[0][1].exception():
            self._store_oldest()

    def _store_oldest(self) -> None:
        """Stores the batch that has been under way for longest, once it is embedded."""
        batch, embedding = self.under_way[0]
        embedding.result()
        try:
            self.under_way.popleft()  # first: an interruption that comes after the commit finds it gone
            self._store(batch)
        except BaseException:
            self.under_way.clear()  # what comes behind it may be the rest of a file that it begins
            raise

    def _store(self, batch: Sequence[Chunk]) -> None:
        """Commits the batch; only then counts it."""
        with self.catalog.atomic() as revision:
            outcomes = Counter(self._store_chunk(chunk, revision) for chunk in batch)
        self.report.embedded += outcomes["embedded"]
        self.report.moved += outcomes["moved"]
        self.report.copied += outcomes["copied"]
        self.report.unchanged += outcomes["unchanged"]
        for chunk in batch:
            if chunk.error is not None:
                self._fail(Failure(chunk.source.path, chunk.error))
            elif chunk.is_last and chunk.note:
                note = Failure(chunk.source.path, chunk.note)
                self.report.notes.append(note)
                self.watcher.noted(note)
        self.watcher.stored(sum(len(chunk.items) for chunk in batch))
        self.watcher.advance(sum(chunk.is_last for chunk in batch))

    def _store_chunk(self, chunk: Chunk, revision: int) -> str:
        """Stores one chunk; says what became of its file."""
        source, donor = chunk.source, chunk.donor
        if chunk.error is not None:
            self.unfinished.pop(source.path, None)
            self.catalog.files.put(source, error=chunk.error)
            return "failed"
        if source.path not in self.unfinished and self.catalog.files.is_stored_by_another(source):
            return "unchanged"
        if donor and not self.survey.is_unmounted(donor.path) and self.catalog.move(donor.file_id, source, chunk.items):
            self.catalog.files.set_note(donor.file_id, chunk.note)
            self.survey.vanished.discard(donor.file_id)
            return "unchanged" if donor.path == source.path else "moved"
        begun = self.unfinished.pop(source.path, None)
        file_id, last = begun or Unfinished(self.catalog.files.put(source, chunk.fingerprint), None)
        if chunk.rows is not None:
            if (same := MODALITIES[source.modality].same_item) and not donor:
                chunk.keep(distinct(chunk.rows, last, same))
            self.catalog.put_items(file_id, chunk.items, chunk.rows, revision)
            last = chunk.rows[-1] if len(chunk.rows) else last
        if not chunk.is_last:
            self.unfinished[source.path] = Unfinished(file_id, last)
            return "unfinished"
        self.catalog.files.complete(file_id, source)
        self.catalog.files.set_note(file_id, chunk.note)
        return "copied" if donor else "embedded"

    def _fail(self, failure: Failure) -> None:
        self.report.failures.append(failure)
        self.watcher.failed(failure)

    def _forget_vanished(self) -> None:
        vanished = self.survey.vanished
        if vanished:
            with self.catalog.atomic():
                self.catalog.files.forget(vanished)
                self.catalog.files.forget_empty_folders()
            self.report.removed = len(vanished)


def _given_up(source: Source, why: str) -> Chunk:
    return Chunk(source._replace(mtime_ns=UNSEEN), error=why)

"""Indexing: what is on disk is compared with the catalog, and only the differences are read, embedded and stored.

    walk -> compare -> [loader threads: fingerprint, read, prepare] -> embed -> one transaction a batch

Loader threads run ahead of the embedding by a bounded window, so memory does not grow with the
folder. A batch is stored whole or not at all: a run that is killed loses the batch in flight.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from indexer.catalog import Failure
from indexer.changes import compare
from indexer.chunks import Chunk, ChunkReader
from indexer.encoders.base import Encoder
from indexer.errors import PathError
from indexer.items import Source
from indexer.library import Library
from indexer.modalities import modality_of
from indexer.pictures import MAX_PIXELS
from indexer.walk import mount_point, walk

# Items embedded and committed together, and what a kill may cost: a bigger batch gains under 3 % on a CPU.
BATCH = 32

# Chunks that the loaders may be ahead, a thread: enough to bridge one slow file.
AHEAD = 16


@dataclass(slots=True)
class Report:
    """What a run did, in files: read and embedded, moved, copied, removed, unchanged, failed and why.

    A copied file is a new one with the content of a known one; neither it nor a moved one is embedded.
    `old_failures` counts files that failed before and have not changed since. `absent` are places that
    could not be looked at (a drive that is not mounted): what the library holds of them is kept.
    """

    embedded: int = 0
    moved: int = 0
    copied: int = 0
    removed: int = 0
    unchanged: int = 0
    old_failures: int = 0
    failures: list[Failure] = field(default_factory=list)
    absent: list[Path] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


class Watcher:
    """Is told how a run goes, and does nothing by itself; the command line's draws a progress bar."""

    def begin(self, total: int) -> None:
        """`total` files will be read."""

    def advance(self, files: int) -> None:
        """So many more files are done."""

    def failed(self, failure: Failure) -> None:
        """A file could not be indexed."""

    def end(self) -> None:
        """The run is over, well or not; comes only after `begin`."""


def index_sources(
    library: Library,
    paths: Iterable[Path | str],
    encoder: Encoder,
    *,
    max_pixels: int = MAX_PIXELS,
    watcher: Watcher | None = None,
) -> Report:
    """Brings the library up to date with the folders and files at `paths`.

    A file that cannot be read is not an error of the run, it is in the report. On Ctrl-C what is done is
    kept, and the report says that it was interrupted. Raises `PathError` for a path that neither exists
    nor was indexed before, `LibraryLocked` while another process writes, `LibraryFull` when the disk is.
    """
    started = time.monotonic()
    library.check(encoder)
    run = _Run(library, encoder, max_pixels, watcher or Watcher())
    with library.lock():
        try:
            run.refresh(_roots(library, paths))
            library.save_indexes()
        except KeyboardInterrupt:  # the indexes are caches: whoever stops a run does not wait for them
            run.report.interrupted = True
    run.report.seconds = time.monotonic() - started
    return run.report


def _roots(library: Library, paths: Iterable[Path | str]) -> list[Path]:
    """The paths, absolute, without those that lie inside another."""
    roots = {Path(os.path.abspath(Path(path).expanduser())) for path in paths}  # noqa: PTH100 - resolves "..", not links
    for root in roots:
        if root.is_file() and modality_of(root.name) is None:
            raise PathError(f"{root} is neither a photo nor a text, by its name.")
        if not root.exists() and not library.catalog.knows(root):
            raise PathError(f"There is no folder or file {root}.")
    return sorted(root for root in roots if roots.isdisjoint(root.parents))


class _Run:
    """One run of `index_sources`: what it works with, and the report that it fills."""

    def __init__(self, library: Library, encoder: Encoder, max_pixels: int, watcher: Watcher) -> None:
        self.catalog = library.catalog
        self.encoder = encoder
        self.reader = ChunkReader(self.catalog.path, encoder, max_pixels)
        self.watcher = watcher
        self.report = Report()
        self.vanished: set[int] = set()
        self.unfinished: dict[Path, int] = {}  # files of which more chunks come, with their ids

    def refresh(self, roots: Sequence[Path]) -> None:
        """Brings the roots up to date: first what is new or changed or moved, then what is gone."""
        present = [root for root in roots if self._is_present(root)]
        total = sum(self._survey(root) for root in present)
        if total:
            self.watcher.begin(total)
            try:
                self._index(source for root in present for source in self._changed(root))
            finally:
                self.watcher.end()
        # last, because a moved file's vector stays at the old place until the new one was read
        self._forget_vanished()

    def _is_present(self, root: Path) -> bool:
        """Whether the root can be taken at its word; what the library holds of an absent one is kept."""
        volume = self.catalog.roots().get(root)
        gone = not root.exists() or (root.is_dir() and _is_empty(root))
        unmounted = volume is not None and mount_point(root) != volume
        if unmounted or (gone and self.catalog.knows(root)):
            self.report.absent.append(root)
            return False
        if volume is None:
            self.catalog.add_root(root, mount_point(root))
        return True

    def _survey(self, root: Path) -> int:
        """How many files have to be read; notes what is gone, unchanged or cannot be looked at. Opens no file.

        A walk of its own, so that the total is known before the first file is read; most runs change
        nothing and need no second one.
        """
        total, visited, closed = 0, set(), self._unmounted_below(root)
        blocked: list[Failure] = []
        for folder in walk(root):
            changes = compare(folder, self.catalog)
            total += len(changes.changed)
            self.vanished.update(changes.vanished)
            self.report.unchanged += changes.unchanged
            self.report.old_failures += changes.old_failures
            blocked += folder.failures
            visited.add(folder.path)
            if not folder.is_whole:
                closed.append(folder.path)
            elif folder.path != root and folder.path.is_mount():
                self.catalog.add_root(folder.path, folder.path)
        self._note_blocked(root, blocked)
        for path in self.catalog.folders_under(root):
            if path not in visited and not any(path.is_relative_to(place) for place in closed):
                self.vanished.update(state.id for state in self.catalog.files_in(path).values())
        return total

    def _note_blocked(self, root: Path, places: Sequence[Failure]) -> None:
        self.catalog.set_blocked(root, places)
        for failure in places:
            self._fail(failure)

    def _unmounted_below(self, root: Path) -> list[Path]:
        """Places inside the root where a drive was mounted and now is not."""
        drives = [path for path, volume in self.catalog.roots().items() if path != root and path == volume]
        absent = [path for path in drives if path.is_relative_to(root) and not path.is_mount()]
        self.report.absent += absent
        return absent

    def _changed(self, root: Path) -> Iterator[Source]:
        for folder in walk(root):
            yield from compare(folder, self.catalog).changed

    def _index(self, sources: Iterable[Source]) -> None:
        batch: list[Chunk] = []
        for chunk in self._chunks(sources):
            batch.append(chunk)
            if sum(map(len, batch)) >= BATCH:
                self._embed(batch)
                self._store(batch)
                batch = []
        self._embed(batch)
        self._store(batch)

    def _chunks(self, sources: Iterable[Source]) -> Iterator[Chunk]:
        """The files' chunks in order, read ahead by as much as the window holds."""
        threads = _processors()
        pool = ThreadPoolExecutor(threads, thread_name_prefix="descry-loader")
        window: deque[Future[Chunk]] = deque()

        def oldest() -> Chunk:
            chunk = window.popleft().result()
            if not chunk.is_last:
                window.appendleft(pool.submit(self.reader.next, chunk))
            return chunk

        try:
            for source in sources:
                window.append(pool.submit(self.reader.first, source))
                while len(window) >= AHEAD * threads:
                    yield oldest()
            while window:
                yield oldest()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _embed(self, batch: Sequence[Chunk]) -> None:
        """Gives every chunk of the batch that lacks them its vectors, all of a modality in one go."""
        waiting: dict[str, list[Chunk]] = defaultdict(list)
        for chunk in batch:
            if chunk.prepared:
                waiting[chunk.source.modality].append(chunk)
        for modality, chunks in waiting.items():
            rows = self.encoder.tower(modality).embed([array for chunk in chunks for array in chunk.prepared])
            ends = np.cumsum([len(chunk.items) for chunk in chunks])
            for chunk, part in zip(chunks, np.split(rows, ends[:-1]), strict=True):
                chunk.rows = part

    def _store(self, batch: Sequence[Chunk]) -> None:
        """Commits the batch; only then counts it."""
        with self.catalog.atomic() as revision:
            outcomes = Counter(self._store_chunk(chunk, revision) for chunk in batch)
        self.report.embedded += outcomes["embedded"]
        self.report.moved += outcomes["moved"]
        self.report.copied += outcomes["copied"]
        for chunk in batch:
            if chunk.error is not None:
                self._fail(Failure(chunk.source.path, chunk.error))
        self.watcher.advance(sum(chunk.is_last for chunk in batch))

    def _store_chunk(self, chunk: Chunk, revision: int) -> str:
        """Stores one chunk; says what became of its file."""
        source, donor = chunk.source, chunk.donor
        if chunk.error is not None:
            self.unfinished.pop(source.path, None)
            self.catalog.put_file(source, error=chunk.error)
            return "failed"
        if donor and not donor.path.exists() and self.catalog.move_file(donor, source, chunk.items):
            self.vanished.discard(donor.file_id)
            return "moved"
        file_id = self.unfinished.pop(source.path, None) or self.catalog.put_file(source, chunk.fingerprint)
        if chunk.rows is not None:
            self.catalog.put_items(file_id, chunk.items, chunk.rows, revision)
        if not chunk.is_last:
            self.unfinished[source.path] = file_id
            return "unfinished"
        self.catalog.complete_file(file_id, source)
        return "copied" if donor else "embedded"

    def _fail(self, failure: Failure) -> None:
        self.report.failures.append(failure)
        self.watcher.failed(failure)

    def _forget_vanished(self) -> None:
        if self.vanished:
            with self.catalog.atomic():
                self.catalog.forget(self.vanished)
                self.catalog.forget_empty_folders()
            self.report.removed = len(self.vanished)


def _is_empty(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is None
    except OSError:  # not to be looked into: the walk says why
        return False


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

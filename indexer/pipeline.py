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
from indexer.walk import NOT_UTF8, is_utf8, mount_point, walk

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
        if not is_utf8(root):
            raise PathError(f"{str(root)!a} cannot be indexed: {NOT_UTF8}.")
        if _exists(root) and root.is_file() and modality_of(root.name) is None:
            raise PathError(f"{root} is neither a photo nor a text, by its name.")
        if not _exists(root) and not library.catalog.knows(root):
            raise PathError(f"There is no folder or file {root}, or it may not be looked at.")
    return sorted(root for root in roots if roots.isdisjoint(root.parents))


class _Run:
    """One run of `index_sources`: what it works with, and the report that it fills."""

    def __init__(self, library: Library, encoder: Encoder, max_pixels: int, watcher: Watcher) -> None:
        self.catalog = library.catalog
        self.encoder = encoder
        self.max_pixels = max_pixels
        self.watcher = watcher
        self.report = Report()
        # a thread of its own, so that Ctrl-C need not wait for the end of a batch
        self.embedder = ThreadPoolExecutor(1, thread_name_prefix="descry-embedder")
        # the roots that were on a drive that is not mounted now: what the library holds of them stays
        self.unmounted = [root for root, volume in self.catalog.roots().items() if not os.path.ismount(volume)]
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
                self.embedder.shutdown(wait=False)
                self.watcher.end()
        # last, because a moved file's vector stays at the old place until the new one was read
        self._forget_vanished()
        self.catalog.forget_displaced()
        for root in present:
            self.catalog.set_limit(root, self.max_pixels)

    def _is_present(self, root: Path) -> bool:
        """Whether the root can be taken at its word; what the library holds of an absent one is kept."""
        emptied = _is_empty(root) and bool(self.catalog.folders_under(root))
        if not _exists(root) or emptied or self._is_unmounted(root):
            self.report.absent.append(root)
            return False
        self.catalog.add_root(root, mount_point(root))
        return True

    def _is_unmounted(self, path: Path) -> bool:
        return any(path.is_relative_to(place) for place in self.unmounted)

    def _survey(self, root: Path) -> int:
        """How many files have to be read; notes what is gone, unchanged or cannot be looked at. Opens no file.

        A walk of its own, so that the total is known before the first file is read; most runs change
        nothing and need no second one.
        """
        total, visited = 0, set()
        unseen, blocked = [place for place in self.unmounted if place.is_relative_to(root)], []
        self.report.absent += unseen
        for folder in walk(root):
            changes = compare(folder, self.catalog, retry=self._retries(root))
            total += len(changes.changed)
            if not self._is_unmounted(folder.path):
                self.vanished.update(changes.vanished)
            self.report.unchanged += changes.unchanged
            self.report.old_failures += changes.old_failures
            blocked += folder.failures
            unseen += folder.unseen
            visited.add(folder.path)
            self._note_volume(root, folder.path)
        self._note_blocked(root, blocked)
        for path in self.catalog.folders_under(root):
            if path not in visited and not any(path.is_relative_to(place) for place in unseen):
                self.vanished.update(state.id for state in self.catalog.files_in(path).values())
        return total

    def _note_volume(self, root: Path, folder: Path) -> None:
        """Remembers a drive that is mounted inside the root, or that a link there leads to."""
        if folder != root and not self._is_unmounted(folder) and (os.path.ismount(folder) or folder.is_symlink()):
            volume = mount_point(folder)
            if volume != mount_point(root):
                self.catalog.add_root(folder, volume)

    def _note_blocked(self, root: Path, places: Sequence[Failure]) -> None:
        self.catalog.set_blocked(root, places)
        for failure in places:
            self._fail(failure)

    def _changed(self, root: Path) -> Iterator[Source]:
        for folder in walk(root):
            yield from compare(folder, self.catalog, retry=self._retries(root)).changed

    def _retries(self, root: Path) -> bool:
        """Whether what failed there is worth another try unchanged: a higher limit may let it pass."""
        return self.max_pixels > self.catalog.limit(root)

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
        reader = ChunkReader(self.catalog.path, self.encoder, self.max_pixels)
        window: deque[Future[Chunk]] = deque()

        def oldest() -> Chunk:
            chunk = window.popleft().result()
            if not chunk.is_last:
                window.appendleft(pool.submit(reader.next, chunk))
            return chunk

        try:
            for source in sources:
                window.append(pool.submit(reader.first, source))
                while len(window) >= AHEAD * threads:
                    yield oldest()
            while window:
                yield oldest()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            reader.close()

    def _embed(self, batch: Sequence[Chunk]) -> None:
        """Gives every chunk of the batch that lacks them its vectors, all of a modality in one go."""
        waiting: dict[str, list[Chunk]] = defaultdict(list)
        for chunk in batch:
            if chunk.prepared:
                waiting[chunk.source.modality].append(chunk)
        for modality, chunks in waiting.items():
            prepared = [array for chunk in chunks for array in chunk.prepared]
            rows = self.embedder.submit(self.encoder.tower(modality).embed, prepared).result()
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
        self.report.unchanged += outcomes["unchanged"]
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
        if donor and not self._is_unmounted(donor.path) and self.catalog.move_file(donor.file_id, source, chunk.items):
            self.vanished.discard(donor.file_id)
            return "unchanged" if donor.path == source.path else "moved"
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


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path's own raises where a folder above is closed


def _is_empty(path: Path) -> bool:
    try:
        return next(path.iterdir(), None) is None
    except OSError:  # a file, or not to be looked into: the walk says why
        return False


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

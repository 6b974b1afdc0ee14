"""The way in: vectors that were made elsewhere become items of a library.

All of them are looked at before the first is stored. A batch is one transaction: what is done when a run ends
early is kept, and the next run passes over it. What the library holds already stays as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from indexer.chunks import fingerprint
from indexer.encoders import DEFAULT, Encoder, load_encoder
from indexer.encoders.base import unit_rows
from indexer.errors import EncoderMismatch, LibraryNotFound, PathError, SourceError
from indexer.items import Float32Array, Source
from indexer.library import Library
from indexer.modalities import MODALITIES
from indexer.modalities.base import ReadOptions
from indexer.report import Watcher
from indexer.threads import ahead
from indexer.transfer.batches import Batch, Embeddings, Entry, check_rows
from indexer.transfer.clip_retrieval import ClipRetrieval
from indexer.transfer.npz import Npz
from indexer.transfer.parquet import Parquet, Partitions

# How far from 1 a length may be for a vector to stay as it is: float16 rounds lengths by 0.0005 at most, and
# what was exported comes back bit by bit.
ROUNDING = 1e-3

READERS: dict[str, Callable[[Path], Embeddings]] = {".npz": Npz, ".parquet": Parquet}


@dataclass(slots=True)
class Imported:
    """What an import did, in items: stored, known before; and how many of the stored ones have no file here."""

    stored: int = 0
    known: int = 0
    missing: int = 0
    seconds: float = 0.0
    interrupted: bool = False


def open_embeddings(path: Path, *, photos: Path | None = None) -> Embeddings:
    """The embeddings at a path: an export, a folder of partitions, or one in clip-retrieval's layout.

    Relative paths of photos begin at `photos`, by default at the folder. Raises `PathError` if there are none.
    """
    path = path.expanduser()
    if path.is_dir():
        if next(path.glob(Partitions.PATTERN), None):
            return Partitions(path)
        return ClipRetrieval(path, (photos or path).expanduser())
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise PathError(f"{path} is neither a folder of embeddings nor an export ({' or '.join(READERS)}).")
    if not path.is_file():
        raise PathError(f"There is no file {path}.")
    return reader(path)


def encoder_of(
    embeddings: Embeddings, model: str | None = None, *, library: Path | None = None, device: str = "auto"
) -> Encoder:
    """The encoder that made them: the one that `model` names, else the one that they name themselves.

    A name may be the path of weights, and whoever wrote a file does not choose what is loaded here: without `model`
    it is the shipped encoder or the one that the `library` has already.
    Raises `PathError` if it is another one or none is named, and what `load_encoder` raises.
    """
    named = embeddings.origin.encoder if embeddings.origin else ""
    trusted = {DEFAULT}
    if library is not None and not model:
        with suppress(LibraryNotFound), Library.open(library) as opened:
            trusted.add(opened.encoder_name)
    if model or named in trusted:
        return load_encoder(model or named, device=device)
    if named:
        raise PathError(
            f"{embeddings.path} says that {named} made its vectors: if that is right, name it with --model."
        )
    raise PathError(f"{embeddings.path} does not say which encoder made its vectors: name it with --model.")


def import_into(library: Path, embeddings: Embeddings, encoder: Encoder, *, watcher: Watcher | None = None) -> Imported:
    """Stores the embeddings, which the encoder made, in a library, made if there is none.

    Files that are there, as they were when their vectors were made, are not embedded by the next indexing; where the
    embeddings do not say how they were, as they are now. On Ctrl-C what is done is kept.
    Raises `EncoderMismatch` if the vectors cannot be that encoder's, `PathError` for one that is no direction (before
    anything is stored), and what `Library.create` and `Library.lock` raise.
    """
    started = time.monotonic()
    if embeddings.origin is not None and embeddings.origin != (encoder.name, encoder.checksum):
        made_by = f"{embeddings.origin.encoder} ({embeddings.origin.checksum})"
        raise EncoderMismatch(
            f"The vectors of {embeddings.path} were made by {made_by}, not by {encoder.name} ({encoder.checksum}), "
            "and vectors of two encoders cannot be compared: index the photos instead."
        )
    if embeddings.dimension != encoder.dimension:
        raise EncoderMismatch(
            f"The vectors of {embeddings.path} have {embeddings.dimension} dimensions, those of {encoder.name} "
            f"{encoder.dimension}: name the encoder that made them with --model."
        )
    with closing(embeddings.batches()) as batches:  # what is found wrong is found before anything is stored
        for batch in batches:
            check_rows(batch)
    with Library.create(library, encoder) as opened:
        report = _import(opened, embeddings, watcher or Watcher())
    report.seconds = time.monotonic() - started
    return report


def _import(library: Library, embeddings: Embeddings, watcher: Watcher) -> Imported:
    run = _Run(library)
    with library.lock():
        watcher.begin(len(embeddings))
        try:
            with closing(embeddings.batches()) as batches:
                for batch in batches:
                    check_rows(batch)  # again: the file may be another one by now
                    run.store(batch)
                    watcher.advance(len(batch.entries))
            run.end()
            library.indexes.save()
        except KeyboardInterrupt:  # the indexes are caches: whoever stops a run does not wait for them
            run.report.interrupted = True
        finally:
            watcher.end()
    return run.report


class _Run:
    """One import: the file that is being filled, by its first entry, and the report."""

    def __init__(self, library: Library) -> None:
        self.report = Imported()
        self._catalog = library.catalog
        self._first: Entry | None = None
        self._file_id: int | None = None  # None for a file that the library holds already
        self._parts: set[str] = set()

    def store(self, batch: Batch) -> None:
        """Commits a batch; only then counts it."""
        entries, rows = self._looked_at(batch.entries), batch.rows.copy()
        off = np.abs(np.linalg.norm(rows, axis=1) - 1) > ROUNDING
        rows[off] = unit_rows(rows[off])
        stored: list[Entry] = []
        with self._catalog.atomic() as revision:
            for _, group in groupby(range(len(entries)), key=lambda place: _file(entries[place])):
                stored += self._store_file(entries, rows, list(group), revision)
        self.report.stored += len(stored)
        self.report.known += len(entries) - len(stored)
        self.report.missing += sum(entry.size is None for entry in stored)

    def end(self) -> None:
        """Completes the last file, and clears away the failures that its files took the place of."""
        with self._catalog.atomic():
            self._complete()
        self._catalog.files.forget_displaced()

    def _store_file(
        self, entries: Sequence[Entry], rows: Float32Array, places: list[int], revision: int
    ) -> list[Entry]:
        """Stores the entries at those places, all of one file; gives those that the library did not hold."""
        if self._first is None or _file(self._first) != _file(entries[places[0]]):
            self._complete()
            self._begin(entries[places[0]])
        if self._file_id is None:
            return []
        fresh = {entries[place].item.part: place for place in reversed(places)}
        new = sorted(place for part, place in fresh.items() if part not in self._parts)
        self._catalog.put_items(self._file_id, [entries[place].item for place in new], rows[new], revision)
        self._parts |= fresh.keys()
        return [entries[place] for place in new]

    def _begin(self, entry: Entry) -> None:
        """Turns to the next file: a new one, or one that an earlier import was stopped in, or has no file."""
        self._first, self._file_id, self._parts = entry, None, set()
        path, modality = _file(entry)
        known = self._catalog.files.state(path, modality)
        if known is not None and known.error is None:
            if known.mtime_ns is not None:
                return
            if known.size == (entry.size or 0):
                self._file_id = known.id
                self._parts = {item.part for item in self._catalog.items_at(path, modality)}
                return
        self._file_id = self._catalog.files.put(_source(entry), entry.fingerprint)

    def _complete(self) -> None:
        if self._first is not None and self._file_id is not None and self._first.mtime_ns is not None:
            self._catalog.files.complete(self._file_id, _source(self._first))

    def _looked_at(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries, with the state of the whole files that nobody looked at before."""
        pairs = [(entry, self._is_new(entry)) for entry in entries]
        return list(ahead(_look_at, pairs, overdue=lambda pair, _error: pair[0]))

    def _is_new(self, entry: Entry) -> bool:
        known = self._catalog.files.state(*_file(entry))
        return known is None or known.error is not None or known.mtime_ns is None


def _look_at(pair: tuple[Entry, bool]) -> Entry:
    """The entry of a whole file with its size, time, facts and fingerprint, if nobody looked and the file is there."""
    entry, is_new = pair
    path, modality = _file(entry)
    if entry.size is not None or entry.item.part or not is_new:
        return entry
    facts, digest = dict(entry.item.facts), None
    try:
        status = path.stat()
        with suppress(SourceError):  # its vector is good, whatever became of the file
            for item, _ in MODALITIES[modality].read(path, ReadOptions(lambda _: True)):
                facts |= item.facts
                digest = fingerprint(path)
                break
    except OSError:
        return entry
    return Entry(replace(entry.item, facts=facts), status.st_size, status.st_mtime_ns, digest)


def _file(entry: Entry) -> tuple[Path, str]:
    return entry.item.path, entry.item.modality


def _source(entry: Entry) -> Source:
    # facts are read anew where the fingerprint will show that the vector fits
    version = "" if entry.fingerprint else MODALITIES[entry.item.modality].facts_version
    return Source(*_file(entry), entry.size or 0, entry.mtime_ns or 0, version)

"""The loader's half of indexing: a changed file becomes chunks of items with arrays ready to be embedded.

Runs on loader threads. A file's trouble is a chunk too, so that errors are handled where results are.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from indexer.encoders.base import Encoder
from indexer.errors import SourceError
from indexer.items import Float32Array, Item, Source
from indexer.modalities import MODALITIES
from indexer.modalities.base import ReadOptions
from indexer.photos.opening import source_errors
from indexer.storage.catalog import Catalog
from indexer.storage.files import Donor

# Items of one file that are prepared together: bounds what a file of a million captions takes.
CHUNK = 256

Work = Iterator[tuple[Item, npt.NDArray[Any]]]


@dataclass(slots=True)
class Chunk:
    """Consecutive items of one file, each with its prepared array; `error` instead if the file cannot be read.

    With a `donor`, whose content is the same, `rows` `[n, dim]` holds the vectors and nothing needs embedding.
    """

    source: Source
    fingerprint: bytes | None = None
    items: list[Item] = field(default_factory=list)
    prepared: list[npt.NDArray[Any]] = field(default_factory=list)
    rows: Float32Array | None = None
    donor: Donor | None = None
    error: str | None = None
    rest: Work | None = None

    def __len__(self) -> int:
        """What the chunk weighs in a batch; a file without items is work too."""
        return max(1, len(self.items))

    @property
    def is_last(self) -> bool:
        """Whether the file ends with this chunk."""
        return self.rest is None


class ChunkReader:
    """Reads changed files. Safe to use from several threads; close it in the end."""

    def __init__(self, catalog: Path, encoder: Encoder, max_pixels: int) -> None:
        # the threads take turns with one connection: what they ask takes a tenth of a millisecond
        self._catalog = Catalog(catalog, readonly=True)
        self._turn = threading.Lock()
        self._encoder = encoder
        self._max_pixels = max_pixels

    def close(self) -> None:
        """Closes its connection to the catalog."""
        with self._turn:
            self._catalog.close()

    def first(self, source: Source) -> Chunk:
        """The first chunk of a file; all of it, if another file of the same content has its vectors."""
        try:
            content = _content(source)
            digest = fingerprint(source.path, content)
            with self._turn:
                donor = self._catalog.files.donor(digest, source.modality)
            donated = self._donated(source, digest, donor, content) if donor else None
            return donated or self._next(source, digest, self._work(source, content))
        except (OSError, SourceError) as error:
            return Chunk(source, error=_reason(error))

    def next(self, chunk: Chunk) -> Chunk:
        """The chunk behind one that is not the last."""
        assert chunk.rest is not None
        try:
            return self._next(chunk.source, chunk.fingerprint, chunk.rest)
        except (OSError, SourceError) as error:
            return Chunk(chunk.source, error=_reason(error))

    def _next(self, source: Source, digest: bytes | None, work: Work) -> Chunk:
        pairs = list(islice(work, CHUNK))
        items, prepared = [item for item, _ in pairs], [array for _, array in pairs]
        if len(pairs) == CHUNK:
            return Chunk(source, digest, items, prepared, rest=work)
        _check_unchanged(source)
        return Chunk(source, digest, items, prepared)

    def _work(self, source: Source, content: bytes | None) -> Work:
        prepare = self._encoder.tower(source.modality).prepare
        for item, value in self._read(source, content):
            yield item, prepare(value)

    def _read(self, source: Source, content: bytes | None) -> Iterator[tuple[Item, Any]]:
        options = ReadOptions(self._encoder.tower(source.modality).fits, self._max_pixels, content)
        return MODALITIES[source.modality].read(source.path, options)

    def _donated(self, source: Source, digest: bytes, donor: Donor, content: bytes | None) -> Chunk | None:
        """The whole file with the donor's vectors; None if they do not fit (prose that has become a caption)."""
        items = [item for item, _ in self._read(source, content)]
        with self._turn:
            vectors = self._catalog.vectors_of_file(donor.file_id)
        if not items or any(item.part not in vectors for item in items) or len(items) != len(vectors):
            return None
        _check_unchanged(source)
        rows = np.stack([vectors[item.part] for item in items])
        return Chunk(source, digest, items, rows=rows, donor=donor)


def _content(source: Source) -> bytes | None:
    """The bytes of a file that is read as a whole: fingerprint and decoder share them."""
    if not MODALITIES[source.modality].is_whole:
        return None
    with source_errors():
        return source.path.read_bytes()


def fingerprint(path: Path, content: bytes | None = None) -> bytes:
    """A hash of the file's whole content, read here if it was not; XXH3 is as fast as memory is, decoding is not."""
    if content is not None:
        return xxhash.xxh3_128_digest(content)
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).digest()


def _check_unchanged(source: Source) -> None:
    status = source.path.stat()
    if (status.st_size, status.st_mtime_ns) != (source.size, source.mtime_ns):
        raise SourceError("it changed while it was read; the next run takes it")


def _reason(error: OSError | SourceError) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)

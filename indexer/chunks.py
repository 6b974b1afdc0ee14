"""The loader's half of indexing: a changed file becomes chunks of items with arrays ready to be embedded.

Runs on loader threads. A file's trouble is a chunk too, so that errors are handled where results are.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from PIL import Image

from indexer.encoders.base import Encoder
from indexer.errors import SourceError, reason_of
from indexer.items import Float32Array, Item, Source
from indexer.modalities import MODALITIES
from indexer.modalities.base import ReadOptions
from indexer.photos.monochrome import colour_of
from indexer.photos.opening import source_errors, whole_file
from indexer.storage.catalog import Catalog, StoredPart
from indexer.storage.files import Donor
from indexer.thumbnails import Thumbnails

Pairs = Iterator[tuple[Item, npt.NDArray[Any]]]


@dataclass(slots=True)
class Chunk:
    """Consecutive items of one file, each with its prepared array; `error` instead if the file cannot be read.

    With a `donor`, whose content is the same, `rows` `[n, dim]` holds the vectors and nothing needs embedding. `note`
    says what is amiss with the file all the same; that of its last chunk says all.
    """

    source: Source
    fingerprint: bytes | None = None
    items: list[Item] = field(default_factory=list)
    prepared: list[npt.NDArray[Any]] = field(default_factory=list)
    rows: Float32Array | None = None
    donor: Donor | None = None
    error: str | None = None
    rest: tuple[ReadFile, Pairs] | None = None
    note: str | None = None

    def __len__(self) -> int:
        """What the chunk weighs in a batch; a file without items is work too."""
        return max(1, len(self.items))

    def keep(self, places: Sequence[int]) -> None:
        """Leaves out all items but those at these places."""
        self.items = [self.items[place] for place in places]
        if self.rows is not None:
            self.rows = self.rows[list(places)]

    @property
    def is_last(self) -> bool:
        """Whether the file ends with this chunk."""
        return self.rest is None


class ChunkReader:
    """Reads changed files. Safe to use from several threads; close it in the end."""

    def __init__(self, catalog: Catalog, encoder: Encoder, thumbnails: Thumbnails | None = None) -> None:
        # the threads take turns with one connection: what they ask takes a tenth of a millisecond
        self._catalog = catalog.reader()
        self._turn = threading.Lock()
        self._encoder = encoder
        self._thumbnails = thumbnails

    def close(self) -> None:
        """Closes its connection to the catalog."""
        with self._turn:
            self._catalog.close()

    def first(self, source: Source) -> Chunk:
        """The first chunk of a file; all of it, if another file of the same content has its vectors."""
        try:
            file = ReadFile(source, self._encoder, self._thumbnails)
            with self._turn:
                donor = self._catalog.files.donor(file.fingerprint, source)
            donated = self._donated(file, donor) if donor else None
            return donated or self._next(file, file.prepared())
        except (OSError, SourceError) as error:
            return Chunk(source, error=reason(error))

    def next(self, chunk: Chunk) -> Chunk:
        """The chunk behind one that is not the last."""
        assert chunk.rest is not None
        try:
            return self._next(*chunk.rest)
        except (OSError, SourceError) as error:
            return Chunk(chunk.source, error=reason(error))

    def _next(self, file: ReadFile, work: Pairs) -> Chunk:
        at_once = file.modality.at_once
        pairs = list(islice(work, at_once))
        items, prepared = [item for item, _ in pairs], [array for _, array in pairs]
        if len(pairs) == at_once:
            return Chunk(file.source, file.fingerprint, items, prepared, rest=(file, work))
        file.check_unchanged()
        return Chunk(file.source, file.fingerprint, items, prepared, note=file.note)

    def _donated(self, file: ReadFile, donor: Donor) -> Chunk | None:
        """The whole file with the donor's vectors; None if they do not fit (prose that has become a caption)."""
        with self._turn:
            stored = self._catalog.parts_of_file(donor.file_id)
        items = file.items_of_copy(stored)
        if not items or any(item.part not in stored for item in items) or len(items) != len(stored):
            return None
        file.check_unchanged()
        rows = np.stack([stored[item.part].row for item in items])
        return Chunk(file.source, file.fingerprint, items, rows=rows, donor=donor, note=file.note)


class ReadFile:
    """A file with the fingerprint of the bytes that its items come from. Raises `OSError` and `SourceError`."""

    def __init__(self, source: Source, encoder: Encoder, thumbnails: Thumbnails | None = None) -> None:
        self.source = source
        self._thumbnails = thumbnails
        self.modality = MODALITIES[source.modality]
        self._tower = encoder.tower(self.modality.tower)
        self._before = source.path.stat()
        self._content: bytes | None = None
        if self.modality.is_whole:  # fingerprint and decoder share the bytes
            with source_errors():
                self._content = whole_file(source.path)
        self.fingerprint = fingerprint(source.path, self._content)

        self._notes: list[str] = []

    def values(self) -> Iterator[tuple[Item, Any]]:
        """The items, each with the value that its tower prepares."""
        return self.modality.read(self.source.path, self._options())

    def items_of_copy(self, parts: Mapping[str, StoredPart]) -> list[Item]:
        """The items, where a file of the same content has these parts; those may not be its own.

        What pixels told of that file is not looked at again.
        """
        if self.modality.facts is None:
            return [_coloured(item, value, parts.get(item.part)) for item, value in self.values()]
        path, facts = self.source.path, self.modality.facts(self.source.path, self._options())
        if facts is None:
            return []
        items = [Item(self.modality.name, path, part, stored.text, facts) for part, stored in parts.items()]
        return [_coloured(item, None, parts[item.part]) for item in items]

    def _options(self) -> ReadOptions:
        self._notes.clear()
        note = self._notes.append
        return ReadOptions(self._tower.fits, self._content, self.source.sidecars, note, self.source.reader)

    @property
    def note(self) -> str | None:
        """What is amiss with the file as far as it was read, though it can be; None for nothing."""
        return "; ".join(self._notes) or None

    def prepared(self) -> Pairs:
        """The items, each with its array ready to be embedded."""
        for item, value in self.values():
            array = self.prepare(value)
            item = _coloured(item, value)
            if self._thumbnails is not None and isinstance(value, Image.Image) and not item.part:
                self._thumbnails.draw(self.fingerprint, value)
            yield item, array

    def prepare(self, value: Any) -> npt.NDArray[Any]:
        """A value as the array that its tower embeds, or, of an item still to be written, that its model looks at."""
        return np.asarray(value) if self.modality.write else self._tower.prepare(value)

    def check_unchanged(self) -> None:
        """Raises `SourceError` unless the file is still the one that was found, and no other took its place."""
        now, found = self.source.path.stat(), (self.source.size, self.source.mtime_ns)
        same_file = (now.st_dev, now.st_ino) == (self._before.st_dev, self._before.st_ino)
        if not same_file or (now.st_size, now.st_mtime_ns) != found:
            raise SourceError("it changed while it was read; the next run takes it")


def _coloured(item: Item, value: Any, known: StoredPart | None = None) -> Item:
    """The item with the fact that its pixels tell, see `indexer.photos.monochrome`: as it is known, else by looking."""
    colour = known.colour if known else None
    if colour is None and isinstance(value, Image.Image):
        with suppress(SourceError):
            colour = colour_of(value)
    return item if colour is None else replace(item, facts={**item.facts, "colour": colour})


def read_whole(source: Source, encoder: Encoder) -> Chunk:
    """A file as one chunk, whatever it holds, where no library can give vectors of a copy."""
    try:
        file = ReadFile(source, encoder)
        pairs = list(file.prepared())
        file.check_unchanged()
    except (OSError, SourceError) as error:
        return Chunk(source, error=reason(error))
    return Chunk(source, file.fingerprint, [item for item, _ in pairs], [array for _, array in pairs], note=file.note)


def embed_chunks(chunks: Iterable[Chunk], encoder: Encoder) -> None:
    """Gives every chunk that lacks them its vectors, all of a tower in one go, and before that texts to be written."""
    chunks = list(chunks)
    _write(chunks, encoder)
    waiting: dict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        if chunk.prepared:
            waiting[MODALITIES[chunk.source.modality].tower].append(chunk)
    for tower, alike in waiting.items():
        rows = encoder.tower(tower).embed([array for chunk in alike for array in chunk.prepared])
        ends = np.cumsum([len(chunk.items) for chunk in alike])
        for chunk, part in zip(alike, np.split(rows, ends[:-1]), strict=True):
            chunk.rows = part


def _write(chunks: Iterable[Chunk], encoder: Encoder) -> None:
    """Gives the items of modalities that write their texts, all of one reader in one go."""
    waiting: dict[tuple[str, str], list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        if chunk.prepared and MODALITIES[chunk.source.modality].write:
            waiting[chunk.source.modality, chunk.source.reader].append(chunk)
    for (name, reader), alike in waiting.items():
        modality = MODALITIES[name]
        assert modality.write is not None
        texts = iter(modality.write(reader, [array for chunk in alike for array in chunk.prepared]))
        for chunk in alike:
            written = [replace(item, text=next(texts)) for item in chunk.items]
            chunk.items = [item for item in written if item.text]
            chunk.prepared = [encoder.tower(modality.tower).prepare(item.text) for item in chunk.items]


def distinct(rows: Float32Array, before: Float32Array | None, same: float) -> list[int]:
    """The places of those unit rows `[n, dim]` whose cosine with the last one that is kept is below `same`.

    `before` is what was kept last before them.

    >>> distinct(np.array([[1, 0], [0.96, 0.28], [0.6, 0.8], [0.5, 0.87]], np.float32), None, 0.9)
    [0, 2]
    """
    kept: list[int] = []
    for place, row in enumerate(rows):
        if before is None or float(before @ row) < same:
            kept.append(place)
            before = row
    return kept


def fingerprint(path: Path, content: bytes | None = None) -> bytes:
    """A hash of the file's whole content, read here if it was not; XXH3 is as fast as memory is, decoding is not."""
    if content is not None:
        return xxhash.xxh3_128_digest(content)
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).digest()


def reason(error: OSError | SourceError) -> str:
    """Why a file cannot be indexed, in words for people."""
    return reason_of(error) if isinstance(error, OSError) else str(error)

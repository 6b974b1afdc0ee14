"""Libraries of any size out of nothing or few photos, to measure what grows: a whole catalog, in bounded memory.

The vectors lie in clusters and the questions aside from all of them, as sentences lie aside from photos; or they are
made of those of real photos, and real sentences ask for them. Files and facts are such as cameras and people make, so
that filters and bytes cost what they cost in a library of photos.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from evaluation.datasets import DataError
from indexer.encoders.base import Encoder, unit_rows
from indexer.items import Float32Array, Int64Array, Vectors
from indexer.library import Library
from indexer.storage.catalog import Catalog, facts_json

# Vectors that are made, and rows that are written, at once.
PIECE = 65_536

# A cluster's size, how far its vectors lie from the centre, in the centre's length, and how far questions lie from
# their vector.
CLUSTER, DEVIATION, ASIDE = 250, 1.0, 0.8

# Of photos that are made of others: how much of the difference of two goes onto a third. With less the library is of
# copies; with this 27,000 made of 8,090 are asked for by sentences a little harder than 27,000 real ones (recall@10 of
# 16 lists of 256: 0.967 and 0.985).
MIXED = 0.35

# Sentences beside the photos, whose vectors are questions: as many as `descry optimize` asks.
SENTENCES = 2000

# Cameras with their share of the photos, so that a filter lets through a half, a tenth, a hundredth, a thousandth.
CAMERAS = {
    "Canon EOS R5": 0.5,
    "NIKON D750": 0.1,
    "FUJIFILM X-T4": 0.01,
    "Leica M10": 0.001,
    "Google Pixel 7": 0.189,
    "": 0.2,  # screenshots, scans and what came by messenger
}
PLACES = ("Lisbon", "Garden", "Hike in the hills", "Grandma's birthday", "Harbour", "School", "Christmas", "Snow")
TREE = Path("/home/ada/Pictures")

# Photos in a folder; seconds from 1970 to the first photo, on New Year's Day of 2004, and from one to the next: a
# million of them in twenty years.
FOLDER = 200
BEGAN, APART = 1_072_915_200, 600

# A moment as cameras put it into a name: 20040101_001000.
TO_NAME = str.maketrans({"-": "", ":": "", "T": "_"})


@dataclass(frozen=True, slots=True)
class Resampled:
    """Photos `[n, dim]` made to be more: to each is added what tells two others apart. `sentences` ask for them."""

    photos: Float32Array
    sentences: Float32Array

    def rows(self, count: int) -> Iterator[Float32Array]:
        """`count` unit rows in pieces of at most `PIECE`, the same ones each time."""
        for number, start in enumerate(range(0, count, PIECE)):
            size = min(PIECE, count - start)
            one, plus, less = np.random.default_rng(number).integers(len(self.photos), size=(3, size))
            yield unit_rows(self.photos[one] + MIXED * (self.photos[plus] - self.photos[less]))

    def questions(self, count: int, among: int) -> Float32Array:  # noqa: ARG002 - they ask for whatever there is
        """Sentences, drawn by chance."""
        return self.sentences[np.random.default_rng(0).choice(len(self.sentences), count)]


@dataclass(frozen=True, slots=True)
class Clustered:
    """Vectors in clusters, each near its centre; a piece's number is all that it depends on."""

    dimension: int
    seed: int = 0

    def rows(self, count: int) -> Iterator[Float32Array]:
        """As of `Resampled`."""
        for number, start in enumerate(range(0, count, PIECE)):
            yield self._piece(number, min(PIECE, count - start))

    def _piece(self, number: int, size: int) -> Float32Array:
        """Clusters of its own, as a folder's photos resemble each other more than another's."""
        chance = np.random.default_rng((self.seed, number))
        centres = scattered(chance, max(1, size // CLUSTER), self.dimension)
        own = centres[chance.integers(len(centres), size=size)]
        return unit_rows(own + DEVIATION * scattered(chance, size, self.dimension))

    def questions(self, count: int, among: int) -> Float32Array:
        """Questions `[count, dim]` that each have a vector among the first `among` which is nearest."""
        chance = np.random.default_rng((self.seed, 1 << 32))
        pieces = max(1, among // PIECE)
        asked = [number * pieces // min(count, pieces) for number in range(min(count, pieces))]
        near = []
        for number, share in zip(asked, np.array_split(np.arange(count), len(asked)), strict=True):
            rows = self._piece(number, min(PIECE, among - number * PIECE))
            near.append(rows[chance.integers(len(rows), size=len(share))])
        aside = scattered(np.random.default_rng((self.seed, 1 << 33)), 1, self.dimension)
        return unit_rows(np.concatenate(near) + ASIDE * scattered(chance, count, self.dimension) + aside)


Source = Resampled | Clustered


def scattered(chance: np.random.Generator, count: int, dimension: int) -> Float32Array:
    """Vectors `[count, dim]` in all directions, of length one on average."""
    return chance.standard_normal((count, dimension), dtype=np.float32) / np.float32(np.sqrt(dimension))


def write_library(path: Path | str, count: int, encoder: Encoder, source: Source | None = None) -> None:
    """Makes a library of `count` photos, and `SENTENCES` sentences that ask for them, for an encoder.

    Its files are nowhere on disk. Raises what `Library.create` raises.
    """
    source = source or Clustered(encoder.dimension)
    with Library.create(path, encoder) as library, library.lock():
        first = 1
        for rows in source.rows(count):
            _put_photos(library.catalog, Vectors(np.arange(first, first + len(rows), dtype=np.int64), rows))
            first += len(rows)
        ids = np.arange(first, first + SENTENCES, dtype=np.int64)
        asked = Vectors(ids, source.questions(SENTENCES, count))
        folder = str(TREE.parent / "Notes")
        _put(
            library.catalog,
            asked,
            "text",
            [(folder, f"note {id}.txt", f"something to find, {id}", {}) for id in ids.tolist()],
        )


def of_library(path: Path) -> Resampled:
    """The photos and sentences of a library, to make a larger one of. Raises `DataError` if it lacks either."""
    with Library.open(path) as library:
        photos, sentences = (library.catalog.some_vectors(modality, PIECE).rows for modality in ("image", "text"))
    if not (len(photos) and len(sentences)):
        raise DataError(f"The library {path} holds {len(photos)} photos and {len(sentences)} texts: both are needed.")
    return Resampled(photos, sentences)


def named_only(dimension: int, checksum: str = "0") -> Encoder:
    """An encoder in name, for libraries whose vectors come from elsewhere: it can embed nothing."""
    return Encoder(f"synthetic-{dimension}", dimension, checksum, {})


def _put_photos(catalog: Catalog, piece: Vectors) -> None:
    """Stores photos as `Catalog.put_items` would, and ten times as quick: nothing is there to be displaced."""
    ids = piece.ids.tolist()
    chance = np.random.default_rng(ids[0])
    cameras = chance.choice(list(CAMERAS), size=len(ids), p=list(CAMERAS.values())).tolist()
    moments = _moments(piece.ids)
    facts = [_facts(id, moment, camera, chance) for id, moment, camera in zip(ids, moments, cameras, strict=True)]
    names = [f"IMG_{moment.translate(TO_NAME)}.jpg" for moment in moments]
    folders = {number: _folder(number) for number in {id // FOLDER for id in ids}}
    places = [folders[id // FOLDER] for id in ids]
    _put(catalog, piece, "image", list(zip(places, names, [""] * len(ids), facts, strict=True)))


def _put(catalog: Catalog, piece: Vectors, modality: str, rows: Sequence[tuple[str, str, str, dict[str, Any]]]) -> None:
    """Writes rows of all tables under the ids of the vectors, in one transaction; a file has its item's id.

    `rows` are the folder, name, text and facts of each.
    """
    ids = piece.ids.tolist()
    written = (_seconds(piece.ids) * 1_000_000_000).tolist()
    folders = dict.fromkeys(folder for folder, *_ in rows)
    _ = catalog.stored  # opened before there are rows that it should hold
    with catalog.atomic() as revision:
        insert = catalog.connection.executemany
        insert("INSERT INTO folders (path) VALUES (?) ON CONFLICT DO NOTHING", ((folder,) for folder in folders))
        ids_of = {folder: catalog.scalar("SELECT id FROM folders WHERE path = ?", (folder,)) for folder in folders}
        insert(
            "INSERT INTO files (id, folder_id, name, modality, size, mtime_ns, fingerprint) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    id,
                    ids_of[folder],
                    name,
                    modality,
                    2_000_000 + id % 3_000_000,
                    when,
                    xxhash.xxh3_128(b"%d" % id).digest(),
                )
                for id, (folder, name, _, _), when in zip(ids, rows, written, strict=True)
            ),
        )
        insert(
            "INSERT INTO items (id, file_id, modality, part, text, facts) VALUES (?, ?, ?, '', ?, ?)",
            ((id, id, modality, text, facts_json(own)) for id, (_, _, text, own) in zip(ids, rows, strict=True)),
        )
        catalog.put_vectors(piece, [modality] * len(ids), revision)


def _facts(id: int, moment: str, camera: str, chance: np.random.Generator) -> dict[str, Any]:
    width, height = (4032, 3024) if id % 4 else (3024, 4032)
    facts: dict[str, Any] = {"width": width, "height": height}
    if camera:
        facts |= {"taken": moment, "camera": camera}
    if camera == "Google Pixel 7":  # phones know where they are
        latitude, longitude = chance.uniform((-40, -20), (60, 120)).round(6).tolist()
        facts |= {"latitude": latitude, "longitude": longitude}
    return facts


def _seconds(ids: Int64Array) -> Int64Array:
    """When each was taken, in seconds since 1970."""
    return BEGAN + APART * ids


def _moments(ids: Int64Array) -> list[str]:
    """The same as ISO 8601."""
    moments: list[str] = np.datetime_as_string(_seconds(ids).astype("datetime64[s]")).tolist()
    return moments


def _folder(number: int) -> str:
    (first,) = _moments(np.array([number * FOLDER], np.int64))
    return f"{TREE}/{first[:4]}/{first[:10]} {PLACES[number % len(PLACES)]} {number}"

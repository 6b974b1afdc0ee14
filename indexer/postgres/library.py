"""A library on a server, opened by its address: the same questions, files and answers as of one in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import platformdirs

from indexer.encoders import load_encoder
from indexer.encoders.base import Encoder
from indexer.errors import LibraryError, LibraryNotFound
from indexer.library import TEXT_TOWER, Library
from indexer.postgres.catalog import PostgresCatalog, Where
from indexer.postgres.connection import shown
from indexer.postgres.nearest import HNSW, PostgresIndexes

if TYPE_CHECKING:
    from indexer.thumbnails import Thumbnails


class Kept(type(Path())):  # type: ignore[misc]
    """The folder in which this machine keeps what belongs to a library on a server; in a message, its address."""

    address = ""

    def __format__(self, form: str) -> str:
        return format(self.address or str(self), form)


def kept(address: str) -> Kept:
    """The folder for the library of that address."""
    name = hashlib.sha256(shown(address).encode()).hexdigest()[:16]
    folder = Kept(platformdirs.user_cache_path("descry") / name)
    folder.address = shown(address)
    return folder


class PostgresLibrary(Library):
    """An open library on a PostgreSQL server."""

    def __init__(self, path: Kept, catalog: PostgresCatalog) -> None:
        self.path = path
        self.server = catalog
        self.catalog = catalog
        self.indexes = cast(Any, PostgresIndexes(catalog, HNSW(catalog)))

    @classmethod
    def open(cls, path: Path | str, *, readonly: bool = True) -> PostgresLibrary:
        """The library at an address. Raises `LibraryError`."""
        folder = kept(str(path))
        library = cls(folder, PostgresCatalog(str(path), folder, readonly=readonly))
        if not library.catalog.is_begun:
            library.close()
            raise LibraryNotFound(f"The library {folder} was never begun: `descry index FOLDER` does it.")
        return library

    @classmethod
    def create(cls, path: Path | str, encoder: Encoder) -> PostgresLibrary:
        """The library at an address, made if there is none, open for writing with this encoder."""
        folder = kept(str(path))
        library = cls(folder, PostgresCatalog(str(path), folder))
        try:
            if not library.catalog.is_begun:
                library.server.begin(encoder=encoder.name, checksum=encoder.checksum, dimension=encoder.dimension)
            library.check(encoder)
        except BaseException:
            library.close()
            raise
        return library

    def encoder(self, *, device: str = "auto") -> Encoder:
        """The library's own encoder to ask with; this machine keeps its text tower for the next time."""
        if not self.has_text_tower():
            encoder = load_encoder(self.encoder_name, device=device)
            self.check(encoder)
            with suppress(OSError, LibraryError):  # else it takes the time again
                self.path.mkdir(parents=True, exist_ok=True)
                self.store_text_tower(encoder, Path(self.path) / TEXT_TOWER)
            return encoder.for_asking()
        return super().encoder(device=device)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Notes what there was when this writer began. Others may write as well: a batch is one transaction."""
        files = self.server.files
        files.last = int(self.server.scalar("SELECT max(id) FROM files") or 0)
        try:
            yield
        finally:
            files.last = None

    def allowed(self, modality: str, where: str, values: Sequence[Any]) -> Where:
        """What an SQL condition lets through of a modality: the condition itself, which the server looks at."""
        return self.server.where(modality, where, values)

    def passing(self, ids: Iterable[int], allowed: Where) -> set[int]:
        """Those of the ids that are `allowed`."""
        return self.server.passing(ids, allowed)

    def thumbnails(self) -> Thumbnails:
        """The small pictures of the library's photos, by a connection of their own."""
        from indexer.postgres.thumbnails import PostgresThumbnails  # late: a question needs no photo decoder

        return PostgresThumbnails(self.server.address)

    def thumbnails_held(self) -> tuple[int, int]:
        """How many thumbnails there are, and their bytes."""
        with closing(self.thumbnails()) as thumbnails:
            return thumbnails.held()

    @property
    def is_connected(self) -> bool:
        """Whether the server still answers."""
        with suppress(LibraryError):
            return bool(self.server.scalar("SELECT 1"))
        return False

    def size(self) -> int:
        """Bytes on the server, indexes and all."""
        return self.server.size()


STORE = PostgresLibrary

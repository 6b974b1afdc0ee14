"""A library: one folder that holds the catalog, its indexes and, if it helps, a light text tower."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from indexer.backends import backend_of, is_address
from indexer.encoders import DEFAULT, load_encoder
from indexer.encoders.base import Encoder
from indexer.errors import EncoderMismatch, LibraryError, LibraryLocked, LibraryNotFound, PathError, cannot_write
from indexer.items import Allowed
from indexer.nearest.cache import IndexCache
from indexer.storage.catalog import Catalog
from indexer.storage.files import as_stored

if TYPE_CHECKING:
    from indexer.nearest.index import VectorIndex
    from indexer.thumbnails import Thumbnails

CATALOG = "catalog.sqlite3"
LOCK = "lock"

# A library may lie in a folder that it indexes: what looks like texts has names that the walk passes over.
TEXT_TOWER = ".text_tower"
LOCK_HOLDER = ".lock-holder.json"

# In a folder of a library's: sizes and checksums of its files, and for what it was made.
MANIFEST = "manifest.json"


class Removal(NamedTuple):
    """How many items went, and the root, if any, whose next run would find them again."""

    items: int
    still_inside: Path | None


class Library:
    """An open library. Make one with `Library.open` or `Library.create`; close it or use it in a `with`."""

    def __init__(self, path: Path, catalog: Catalog) -> None:
        self.path = path
        self.catalog = catalog
        self.indexes = IndexCache(path, catalog)

    @classmethod
    def open(cls, path: Path | str, *, readonly: bool = True) -> Library:
        """The library in a folder or at an address. Raises `LibraryNotFound`, `LibraryTooNew` or `LibraryDamaged`."""
        if is_address(path):
            library: Library = backend_of(path).open(path, readonly=readonly)
            return library
        path = Path(path).expanduser().absolute()
        try:
            is_there = (path / CATALOG).is_file()
        except OSError as error:
            raise LibraryError(f"The library {path} cannot be looked at ({error.strerror}): see who may.") from error
        if not is_there:
            raise LibraryNotFound(f"There is no library at {path}: `descry index FOLDER` makes one.")
        library = cls(path, Catalog(path / CATALOG, readonly=readonly))
        if not library.catalog.is_begun:
            library.close()
            raise LibraryNotFound(f"The library at {path} was never begun: `descry index FOLDER` does it.")
        return library

    @classmethod
    def create(cls, path: Path | str, encoder: Encoder) -> Library:
        """The library at `path`, made if there is none, open for writing with this encoder.

        Raises `EncoderMismatch` if its vectors are another encoder's, and what `open` raises.
        """
        if is_address(path):
            made: Library = backend_of(path).create(path, encoder)
            return made
        path = Path(path).expanduser().absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LibraryError(f"The library folder {path} cannot be made ({error.strerror}).") from error
        library = cls(path, Catalog(path / CATALOG))
        try:
            library._adopt(encoder)
        except BaseException:
            library.close()
            raise
        return library

    def _adopt(self, encoder: Encoder) -> None:
        if not self.catalog.is_begun:
            with self.lock():
                self._begin(encoder)
        self.check(encoder)
        if encoder.store_text is not None and not self.has_text_tower():
            with suppress(LibraryError), self.lock():
                self.store_text_tower(encoder, self.path / TEXT_TOWER)

    def _begin(self, encoder: Encoder) -> None:
        if self.catalog.is_begun:  # by another process, while this one waited
            return
        self.store_text_tower(encoder, self.path / TEXT_TOWER)
        with self.catalog.atomic():
            self.catalog.set_meta(encoder=encoder.name, checksum=encoder.checksum, dimension=encoder.dimension)

    def store_text_tower(self, encoder: Encoder, folder: Path) -> None:
        """Stores the light form of the encoder's text tower in a folder, if it has one. Raises `LibraryError`."""
        if encoder.store_text is not None:
            try:
                encoder.store_text(folder)
                if folder.is_dir():
                    _write_manifest(folder, encoder.checksum)
            except OSError as error:
                raise cannot_write(self.path, TEXT_TOWER, error) from error

    def has_text_tower(self, *, verify: bool = False) -> bool:
        """Whether a light text tower of the library's encoder is stored; if `verify`, as it was written."""
        return _holds(self.path / TEXT_TOWER, str(self.catalog.meta()["checksum"]), verify=verify)

    def has(self, encoder: Encoder) -> bool:
        """Whether the library's vectors are this encoder's."""
        meta = self.catalog.meta()
        return (encoder.name, encoder.checksum) == (meta["encoder"], meta["checksum"])

    def check(self, encoder: Encoder) -> None:
        """Raises `EncoderMismatch` unless the library's vectors are this encoder's."""
        if self.has(encoder):
            return
        meta = self.catalog.meta()
        asked, held = encoder.name, self.encoder_name
        if asked == held == DEFAULT:
            raise EncoderMismatch(
                f"The library {self.path} was made by the encoder of another version of Descry; a better one came with "
                f"this version: `descry reembed` brings the library over."
            )
        if asked == held:
            asked, held = f"{asked} with other weights ({encoder.checksum})", f"{held} ({meta['checksum']})"
        raise EncoderMismatch(
            f"The library {self.path} was made by {held}, not by {asked}, and vectors of two encoders cannot be "
            f"compared: choose another library (--library DIR), or give this one the encoder by `descry reembed`."
        )

    @property
    def encoder_name(self) -> str:
        """The name of the encoder whose vectors the library holds."""
        return str(self.catalog.meta()["encoder"])

    @property
    def dimension(self) -> int:
        """The length of the library's vectors."""
        return int(self.catalog.meta()["dimension"])

    def encoder(self, *, device: str = "auto") -> Encoder:
        """The library's own encoder to ask with: light towers, the stored text tower among them, where there are some.

        Raises `EncoderUnavailable` if its weights cannot be had, `EncoderMismatch` if they have changed.
        """
        stored = self.path / TEXT_TOWER
        if not self.has_text_tower():
            encoder = load_encoder(self.encoder_name, device=device)
            self.check(encoder)
            return encoder.for_asking()
        return self._light_encoder(stored, device)

    def _light_encoder(self, stored: Path, device: str) -> Encoder:
        from indexer.encoders import load_text_tower

        meta = self.catalog.meta()

        def full() -> Encoder:
            encoder = load_encoder(meta["encoder"], device=device)
            self.check(encoder)
            return encoder

        makers = {"text": lambda: load_text_tower(stored), "image": lambda: full().tower("image")}
        return Encoder(meta["encoder"], meta["dimension"], meta["checksum"], makers)

    def index(self, modality: str) -> VectorIndex:
        """The vectors of one modality, up to date with the catalog as the reader sees it now."""
        return self.indexes.index(modality)

    def remove(self, path: Path) -> Removal:
        """Takes a root, a folder or a file out of the library; nothing on disk is touched.

        Raises `PathError` if the library holds nothing there.
        """
        path = as_stored(path)
        if not self.catalog.files.knows(path):
            raise PathError(f"The library {self.path} holds nothing at {path}.")
        with self.lock():
            removed = self.catalog.remove_under(path)
            self.indexes.save()
        return Removal(removed, next((root for root in self.catalog.files.roots() if path.is_relative_to(root)), None))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other writers out while inside. Raises `LibraryLocked`, saying who holds it."""
        from socket import gethostname

        from filelock import FileLock, Timeout

        from indexer.atomic import atomic_write, remove_leftovers

        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise LibraryLocked(
                f"The library {self.path} is being written by {self._lock_holder()}: wait for it, or stop it."
            ) from None
        except OSError as error:
            raise LibraryError(f"The library {self.path} cannot be written ({error.strerror}).") from error
        holder = self.path / LOCK_HOLDER
        try:
            remove_leftovers(self.path)
            self.indexes.forget_newer()
            with suppress(OSError), atomic_write(holder) as new:  # the lock holds without it, also on a full disk
                new.write_text(json.dumps({"pid": os.getpid(), "host": gethostname()}))
            yield
        finally:
            with suppress(OSError):
                holder.unlink()
            lock.release()

    def _lock_holder(self) -> str:
        with suppress(OSError, ValueError, KeyError):
            holder = json.loads((self.path / LOCK_HOLDER).read_text())
            return f"process {holder['pid']} on {holder['host']}"
        return "another process"

    def allowed(self, modality: str, where: str, values: Sequence[Any]) -> Allowed:
        """What an SQL condition lets through of a modality, as `search` of its index takes it: their ids."""
        return self.catalog.ids(modality, where, values)

    def passing(self, ids: Iterable[int], allowed: Allowed) -> set[int]:
        """Those of the ids that are `allowed`."""
        return set(allowed.tolist()).intersection(ids)

    def thumbnails(self) -> Thumbnails:
        """The small pictures of the library's photos; to be closed."""
        from indexer.thumbnails import Thumbnails  # late: a question needs no photo decoder

        return Thumbnails(self.path)

    def thumbnails_held(self) -> tuple[int, int]:
        """How many thumbnails there are, and their bytes; nothing is made of what is not there."""
        from indexer.thumbnails import held

        return held(self.path)

    @property
    def is_connected(self) -> bool:
        """Whether it can still be asked, as far as is known."""
        return True

    def size(self) -> int:
        """Bytes on disk, all files together."""
        total = 0
        for file in self.path.rglob("*"):
            with suppress(OSError):  # the log and new indexes come and go
                total += file.stat().st_size if file.is_file() else 0
        return total

    def close(self) -> None:
        """Closes the catalog."""
        self.catalog.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _write_manifest(folder: Path, purpose: str) -> None:
    """Writes down what the folder holds, and its purpose. Raises `OSError`."""
    from indexer.atomic import atomic_write  # late: a question writes nothing

    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / MANIFEST]
    files = {str(path.relative_to(folder)): _state(path) for path in paths}
    with atomic_write(folder / MANIFEST) as new:
        new.write_text(json.dumps({"purpose": purpose, "files": files}, indent=1) + "\n", encoding="utf-8")


def _holds(folder: Path, purpose: str, *, verify: bool = False) -> bool:
    """Whether the folder was made for this purpose and its files have their sizes; their bytes too, if `verify`."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["purpose"] != purpose:
            return False
        if verify:
            return all(_state(folder / name) == state for name, state in manifest["files"].items())
        return all((folder / name).stat().st_size == size for name, (size, _) in manifest["files"].items())
    return False


def _state(path: Path) -> list[int | str]:
    import xxhash

    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return [path.stat().st_size, digest.hexdigest()]

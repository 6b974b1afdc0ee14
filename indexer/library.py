"""A library: one folder that holds the catalog, a FAISS index a modality and, if it helps, a light text tower."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from indexer.atomic import atomic_write, remove_leftovers
from indexer.encoders import load_encoder
from indexer.encoders.base import Encoder
from indexer.errors import EncoderMismatch, LibraryError, LibraryFull, LibraryLocked, LibraryNotFound, PathError
from indexer.items import Float32Array
from indexer.nearest.light import LightIndex
from indexer.nearest.probing import Choice
from indexer.nearest.saved import read_saved, saved_revision
from indexer.storage.catalog import Catalog
from indexer.storage.files import as_stored

if TYPE_CHECKING:
    from indexer.nearest.index import VectorIndex
    from indexer.nearest.tuning import Verdict

CATALOG = "catalog.sqlite3"
LOCK = "lock"

# A library may lie in a folder that it indexes: what looks like texts has names that the walk passes over.
TEXT_TOWER = ".text_tower"
LOCK_HOLDER = ".lock-holder.json"

# What `descry optimize` chose, in the catalog's meta, before the modality's name.
CHOICE = "index "

# A saved index is written anew when this many changes are newer than it: fewer are cheaper to read from
# the catalog at each opening (10 microseconds a vector) than a large index is to write.
WORTH_SAVING = 1000

# How many times as many vectors as it was chosen for an approximate index serves.
OUTGROWN = 2


class Removal(NamedTuple):
    """How many items went, and the root, if any, whose next run would find them again."""

    items: int
    still_inside: Path | None


class Library:
    """An open library. Make one with `Library.open` or `Library.create`; close it or use it in a `with`."""

    def __init__(self, path: Path, catalog: Catalog) -> None:
        self.path = path
        self.catalog = catalog
        self._indexes: dict[str, VectorIndex] = {}
        self._asked: set[str] = set()
        self._stamps: dict[str, tuple[int, int] | None] = {}

    @classmethod
    def open(cls, path: Path | str, *, readonly: bool = True) -> Library:
        """The library at `path`. Raises `LibraryNotFound`, `LibraryTooNew` or `LibraryDamaged`."""
        path = Path(path).expanduser().absolute()
        if not (path / CATALOG).is_file():
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

    def _begin(self, encoder: Encoder) -> None:
        if self.catalog.is_begun:  # by another process, while this one waited
            return
        if encoder.store_text is not None:
            try:
                encoder.store_text(self.path / TEXT_TOWER)
            except OSError as error:
                raise LibraryFull(self.path, f"{TEXT_TOWER}: {error}") from error
        with self.catalog.atomic():
            self.catalog.set_meta(encoder=encoder.name, checksum=encoder.checksum, dimension=encoder.dimension)

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
        if not stored.is_dir():
            encoder = load_encoder(self.encoder_name, device=device)
            self.check(encoder)
            return encoder.for_asking()
        return self._light_encoder(stored, device)

    def _light_encoder(self, stored: Path, device: str) -> Encoder:
        from indexer.encoders import load_text_tower

        meta = self.catalog.meta()

        def heavy() -> Encoder:
            encoder = load_encoder(meta["encoder"], device=device)
            self.check(encoder)
            return encoder

        makers = {"text": lambda: load_text_tower(stored), "image": lambda: heavy().tower("image")}
        return Encoder(meta["encoder"], meta["dimension"], meta["checksum"], makers)

    def index_for_asking(self, modality: str) -> VectorIndex | LightIndex:
        """What `index` gives, but for the first question, if no FAISS is needed for it, an index without."""
        first = not {modality} & (self._asked | self._indexes.keys())
        self._asked.add(modality)
        with self.catalog.snapshot():
            light = self._light_index(modality) if first else None
            return light or self.index(modality)

    def _light_index(self, modality: str) -> LightIndex | None:
        """The vectors of one modality without FAISS; None where FAISS has to look at what was saved, or to save."""
        file, catalog = self._index_file(modality), self.catalog
        try:
            saved = read_saved(file) if file.is_file() else None
        except (OSError, ValueError):
            return None
        light = LightIndex(saved, self.dimension, stored=catalog.stored, heavy=lambda: self.index(modality))
        if (saved and saved.dimension != self.dimension) or not self._can_catch_up(light):
            return None
        if catalog.changes_since(modality, light.revision) >= WORTH_SAVING:
            return None
        self._catch_up(light, modality, catalog.revision)
        return light

    def index(self, modality: str) -> VectorIndex:
        """The vectors of one modality, up to date with the catalog as the reader sees it now.

        A cached index that is missing, damaged or from another state is caught up or made anew; one that another
        process has saved meanwhile, as `descry optimize` does, takes the place of the one that was open.
        """
        with self.catalog.snapshot():
            index = self._indexes.pop(modality, None)
            if index is None or not self._can_catch_up(index) or self._stamp(modality) != self._stamps.get(modality):
                index = self._saved_index(modality) or self._still(index) or self._new_index()
            revision = self.catalog.revision
            if index.revision < revision:
                changes = self._catch_up(index, modality, revision)
                if changes >= WORTH_SAVING:
                    self._save_in_passing(index, modality)
            self._indexes[modality] = index
            return index

    def _saved_index(self, modality: str) -> VectorIndex | None:
        from indexer.nearest.index import VectorIndex  # late: FAISS takes longer to import than a question takes

        self._stamps[modality] = self._stamp(modality)
        with suppress(OSError, ValueError):
            index = VectorIndex.open(self._index_file(modality), self.catalog.stored)
            return self._still(index)
        return None

    def _still(self, index: VectorIndex | None) -> VectorIndex | None:
        """The index if it fits the catalog."""
        fits = index is not None and index.dimension == self.dimension and self._can_catch_up(index)
        return index if fits else None

    def _new_index(self) -> VectorIndex:
        from indexer.nearest.index import VectorIndex

        return VectorIndex(self.dimension)

    def _stamp(self, modality: str) -> tuple[int, int] | None:
        """What tells a saved index from another in its place; None where there is none."""
        with suppress(OSError):
            status = self._index_file(modality).stat()
            return status.st_ino, status.st_mtime_ns
        return None

    def _can_catch_up(self, index: VectorIndex | LightIndex) -> bool:
        """Whether the catalog can tell what is new since the index: it must not be too old, nor from a newer copy."""
        return self.catalog.pruned <= index.revision <= self.catalog.revision

    def _catch_up(self, index: VectorIndex | LightIndex, modality: str, revision: int) -> int:
        """Brings the index from its revision to the catalog's; how many changes that were."""
        changes = 0
        for vectors in self.catalog.vectors_since(modality, index.revision):
            index.add(vectors)
            changes += len(vectors)
        removed = self.catalog.removed_since(modality, index.revision)
        index.remove(removed)
        index.revision = revision
        return changes + len(removed)

    def _save_in_passing(self, index: VectorIndex, modality: str) -> None:
        """Saves a reader's catching up for the next one; it is only a cache, so no place to write is no error.

        Where an approximate index was chosen and lost, the next writer makes it anew: no reader waits for that.
        """
        if index.is_exact and self.choice(modality):
            return
        with suppress(LibraryError, OSError), self.lock():
            self._save(index, modality)

    def _save(self, index: VectorIndex, modality: str) -> None:
        index.save(self._index_file(modality))
        self._stamps[modality] = self._stamp(modality)

    def _index_file(self, modality: str) -> Path:
        return self.path / f"{modality}.faiss"

    def save_indexes(self) -> None:
        """Writes the indexes that have fallen behind. Holding the lock is the caller's part."""
        for modality in self.catalog.modalities():
            file = self._index_file(modality)
            saved = saved_revision(file)
            choice = self.choice(modality)
            if choice and self.index(modality).is_exact:  # its file was lost
                self._indexes[modality], saved = self._built(modality, choice), None
            if saved is None or self.catalog.changes_since(modality, saved) >= WORTH_SAVING:
                try:
                    self._save(self.index(modality), modality)
                except OSError as error:
                    raise LibraryFull(self.path, f"{file.name}: {error}") from error
        seen = [saved_revision(self._index_file(modality)) or 0 for modality in self.catalog.modalities()]
        self.catalog.prune_removals(min(seen, default=0))

    def choice(self, modality: str) -> Choice | None:
        """The approximate index that `optimize` chose for this encoder's vectors; None for the exact one."""
        meta = self.catalog.meta()
        with suppress(ValueError, TypeError):
            choice = Choice.from_json(meta.get(CHOICE + modality, ""))
            return choice if choice.checksum == meta["checksum"] else None
        return None

    def optimize(self, modality: str, questions: Float32Array, *, recall: float) -> Verdict:
        """Gives a modality the kind of index that serves it best, for a wished recall of the first ten.

        `questions` `[q, dim]` are unit rows as they will be asked. Searching goes on with the old index until the
        new one is whole, and so does indexing: what it changes meanwhile is caught up with. Raises `LibraryFull`.
        """
        from indexer.nearest.tuning import tune

        with self.catalog.snapshot():
            verdict, index = tune(self.catalog, modality, questions, wished=recall)
        self._take_up(index, modality, verdict.choice)
        return verdict

    def _take_up(self, index: VectorIndex, modality: str, choice: Choice | None) -> None:
        """Saves an index that was built while others may have written; inside a transaction nobody does."""
        file = self._index_file(modality)
        with self.catalog.atomic() as revision:
            if not self._can_catch_up(index):
                raise LibraryError(
                    f"The library {self.path} has changed too much meanwhile: run the same command again."
                )
            self._catch_up(index, modality, revision - 1)
            try:
                index.save(file)
            except OSError as error:
                raise LibraryFull(self.path, f"{file.name}: {error}") from error
            self.catalog.set_meta(**{CHOICE + modality: choice.as_json() if choice else ""})
        self._indexes.pop(modality, None)

    def outgrown(self) -> dict[str, Choice]:
        """The modalities of which there are so many more vectors than when their index was chosen that a new one pays.

        Vectors that came are in its lists, which grow longer and slower. With a new one each time their number has
        doubled, all new ones together cost at most twice the last.
        """
        chosen = {modality: self.choice(modality) for modality in self.catalog.modalities()}
        return {
            modality: choice
            for modality, choice in chosen.items()
            if choice and self.catalog.count(modality) >= OUTGROWN * choice.vectors
        }

    def _built(self, modality: str, choice: Choice) -> VectorIndex:
        from indexer.nearest.index import VectorIndex
        from indexer.nearest.tuning import build

        with self.catalog.snapshot():
            inverted = build(self.catalog, modality, lists=choice.lists, probes=choice.probes, depth=choice.depth)
            return VectorIndex.approximate(inverted, revision=self.catalog.revision)

    def stale_changes(self) -> int:
        """How many changes the saved indexes lack; each opening catches up with them."""
        return sum(
            self.catalog.changes_since(modality, saved_revision(self._index_file(modality)) or 0)
            for modality in self.catalog.modalities()
        )

    def remove(self, path: Path) -> Removal:
        """Takes a root, a folder or a file out of the library; nothing on disk is touched.

        Raises `PathError` if the library holds nothing there.
        """
        path = as_stored(path)
        if not self.catalog.files.knows(path):
            raise PathError(f"The library {self.path} holds nothing at {path}.")
        with self.lock():
            removed = self.catalog.remove_under(path)
            self.save_indexes()
        return Removal(removed, next((root for root in self.catalog.files.roots() if path.is_relative_to(root)), None))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other writers out while inside. Raises `LibraryLocked`, saying who holds it."""
        from socket import gethostname

        from filelock import FileLock, Timeout

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
        remove_leftovers(self.path)
        try:
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

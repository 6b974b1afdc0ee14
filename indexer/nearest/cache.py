"""The indexes of a library: opened, caught up with the catalog, and what is expensive to build kept in files.

An exact index is the ids of its vectors, which the catalog tells in a tenth of a microsecond each: nothing of it is
saved. An inverted file is a cache, `image.faiss` beside the catalog: one that is missing or damaged, or was made from
another generation of vectors, is never used, and is made anew by whoever holds the library's lock.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.errors import LibraryError, cannot_write
from indexer.items import Float32Array
from indexer.nearest.index import VectorIndex
from indexer.nearest.ivf_parameters import IVFParameters
from indexer.nearest.saved import MappedIVF, Sealed
from indexer.storage.catalog import Catalog

if TYPE_CHECKING:
    from indexer.nearest.tuning import TuningResult

# What `descry optimize` chose, in the catalog's meta, before the modality's name.
PARAMETERS = "index "

# An inverted file is written anew when this many changes are newer than it: fewer are cheaper to search exactly (0.1
# microseconds a vector and question) than a large index is to write.
WORTH_SAVING = 1000

# How many times as many vectors as it was chosen for an inverted file serves.
OUTGROWN = 2


class IndexCache:
    """The index of each modality, up to date with the catalog."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self._folder, self._catalog = folder, catalog
        self._indexes: dict[str, VectorIndex] = {}
        self._stamps: dict[str, tuple[int, int] | None] = {}

    def index(self, modality: str) -> VectorIndex:
        """The vectors of one modality, up to date with the catalog as the reader sees it now.

        An inverted file that another process has saved meanwhile, as `descry optimize` does, takes the place of the
        index that was open.
        """
        with self._catalog.snapshot():
            index, stamp = self._indexes.get(modality), self._stamp(modality)
            if index is None or stamp != self._stamps.get(modality) or not self._can_catch_up(index):
                index = self._open(modality, index)
                self._stamps[modality] = stamp
            self._catch_up(index, modality)
            self._indexes[modality] = index
            return index

    def _open(self, modality: str, former: VectorIndex | None) -> VectorIndex:
        """The inverted file that was chosen and saved, else the index that was open, else an exact one."""
        catalog, chosen = self._catalog, self.parameters(modality) is not None
        if chosen and (file := self._saved(modality)) is not None:
            with suppress(ValueError):
                index = self._mapped(file, modality)
                if self._can_catch_up(index):
                    return index
        if former is not None and self._can_catch_up(former) and (former.is_exact or chosen):
            return former
        return VectorIndex(catalog.stored, catalog.vector_ids(modality), revision=catalog.revision)

    def _mapped(self, file: Sealed, modality: str) -> VectorIndex:
        """The index of a saved inverted file. Raises `DamagedIndex`."""
        catalog = self._catalog
        everything = partial(catalog.vector_ids, modality)
        return VectorIndex(catalog.stored, ivf=MappedIVF(file), revision=file.revision, all_ids=everything)

    def _saved(self, modality: str) -> Sealed | None:
        """What was saved of this generation's vectors; None for nothing that may be used."""
        with suppress(OSError, ValueError):
            file = Sealed(self.file(modality))
            return file if file.is_of(self._catalog.generation_name) else None
        return None

    def _can_catch_up(self, index: VectorIndex) -> bool:
        """Whether the catalog can tell what is new since the index: it is of these vectors, and not too old."""
        known = self._catalog.pruned <= index.revision <= self._catalog.revision
        return index.stored is self._catalog.stored and known

    def _catch_up(self, index: VectorIndex, modality: str) -> None:
        """Brings the index from its revision to the catalog's."""
        if index.revision < self._catalog.revision:
            index.add(self._catalog.vector_ids(modality, since=index.revision))
            index.remove(self._catalog.removed_since(modality, index.revision))
            index.revision = self._catalog.revision

    def _stamp(self, modality: str) -> tuple[int, int] | None:
        """What tells a saved index from another in its place; None where there is none."""
        with suppress(OSError):
            status = self.file(modality).stat()
            return status.st_ino, status.st_mtime_ns
        return None

    def file(self, modality: str) -> Path:
        """Where the inverted file of a modality is saved."""
        return self._folder / f"{modality}.faiss"

    # for whoever holds the lock

    def forget_newer(self) -> None:
        """Removes inverted files of a later state than the catalog's, which was put back from a copy."""
        for modality in self._catalog.modalities():
            file = self._saved(modality)
            if file is not None and file.revision > self._catalog.revision:
                self._unlink(modality)

    def _unlink(self, modality: str) -> None:
        with suppress(OSError):
            self.file(modality).unlink(missing_ok=True)

    def save(self) -> None:
        """Writes the inverted files that are missing, damaged or behind. Raises `LibraryError`."""
        seen = [self._save(modality) for modality in self._catalog.modalities()]
        self._catalog.prune_removals(min(seen, default=self._catalog.revision))

    def _save(self, modality: str) -> int:
        """The revision from which on the catalog has to tell what has gone of a modality."""
        parameters, catalog = self.parameters(modality), self._catalog
        if parameters is None:
            self._unlink(modality)  # of an earlier version, or of a choice that is no more
            return catalog.revision
        with catalog.snapshot():
            file = None if self.is_damaged(modality) else self._saved(modality)
            index = self._mapped(file, modality) if file else None
            if index is None or not self._can_catch_up(index):
                from indexer.nearest.tuning import build  # late: it imports FAISS

                shape = {"nlist": parameters.nlist, "nprobe": parameters.nprobe, "refine_k": parameters.refine_k}
                index = VectorIndex(catalog.stored, ivf=build(catalog, modality, **shape), revision=catalog.revision)
            elif catalog.changes_since(modality, index.revision) < WORTH_SAVING:
                return index.revision
            self._catch_up(index, modality)
        self._write(index, modality)
        return index.revision

    def _write(self, index: VectorIndex, modality: str) -> None:
        if (ivf := index.in_faiss()) is None:
            return
        path, generation = self.file(modality), self._catalog.generation_name
        try:
            ivf.save(path, revision=index.revision, generation=generation, fresh=index.fresh.pieces(), gone=index.gone)
        except OSError as error:
            raise cannot_write(self._folder, path.name, error) from error

    def is_damaged(self, modality: str) -> bool:
        """Whether a saved index is there whose bytes are not those that were written; reads all of it."""
        if self.parameters(modality) is None:
            return False
        try:
            Sealed(self.file(modality)).check()
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            return True
        return False

    # what `descry optimize` chose

    def parameters(self, modality: str) -> IVFParameters | None:
        """The inverted file that `optimize` chose for this encoder's vectors; None for exact search."""
        meta = self._catalog.meta()
        with suppress(ValueError, TypeError):
            chosen = IVFParameters.from_json(meta.get(PARAMETERS + modality, ""))
            return chosen if chosen.checksum == meta["checksum"] else None
        return None

    def optimize(self, modality: str, questions: Float32Array, *, recall: float) -> TuningResult:
        """Gives a modality the kind of index that serves it best, for a wished recall of the first ten.

        `questions` `[q, dim]` are unit rows as they will be asked. Searching goes on with the old index until the
        new one is whole, and so does indexing: what it changes meanwhile is caught up with. Raises `LibraryError`.
        """
        from indexer.nearest.tuning import tune

        with self._catalog.snapshot():
            result, index = tune(self._catalog, modality, questions, target=recall)
        with self._catalog.atomic() as revision:  # nobody writes meanwhile
            if not self._can_catch_up(index):
                raise LibraryError(
                    f"The library {self._folder} has changed too much meanwhile: run the same command again."
                )
            self._catch_up(index, modality)
            index.revision = revision - 1
            if result.chosen:
                self._write(index, modality)
            else:
                self._unlink(modality)
            self._catalog.set_meta(**{PARAMETERS + modality: result.chosen.as_json() if result.chosen else ""})
        self._indexes.pop(modality, None)
        return result

    def outgrown(self) -> dict[str, IVFParameters]:
        """The modalities of which there are so many more vectors than when their index was chosen that a new one pays.

        With a new one each time their number has doubled, all new ones together cost at most twice the last.
        """
        chosen = [(modality, self.parameters(modality)) for modality in self._catalog.modalities()]
        return {
            modality: parameters
            for modality, parameters in chosen
            if parameters and self._catalog.count(modality) >= OUTGROWN * parameters.vectors
        }

    def behind(self) -> int:
        """How many changes the saved inverted files lack; each opening catches up with them."""
        total = 0
        for modality in filter(self.parameters, self._catalog.modalities()):
            file = self._saved(modality)
            total += self._catalog.changes_since(modality, file.revision if file else 0)
        return total

    def damaged(self) -> list[Path]:
        """The saved inverted files whose bytes are not those that were written; reads all of them."""
        return [self.file(modality) for modality in self._catalog.modalities() if self.is_damaged(modality)]

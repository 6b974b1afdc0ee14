"""The catalog's half that looks at the disk: roots, folders and files, as they were when they were last indexed."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from indexer.items import Int64Array, Source
from indexer.storage.database import Database
from indexer.storage.migrations import NOTED

# A folder of a thousand equal files would otherwise be looked up a million times.
DONORS_LOOKED_AT = 16

# Where a stored file waits that had to give its place to another: it may turn up elsewhere in the same run.
# No file can lie there.
LIMBO = Path("/dev/null")

# What a link to a folder counts as among what is passed over.
LINK = "link to a folder"

# What a root's settings are called in the catalog's meta, before its path.
SETTINGS = "root "

# A path itself and what lies below, in the terms of `range_below`.
AT_OR_BELOW = "path = ? OR (path >= ? AND path < ?)"


class FileState(NamedTuple):
    """A file as the catalog knows it; `mtime_ns` is None if it was only partly stored, or never seen."""

    id: int
    size: int
    mtime_ns: int | None
    error: str | None
    facts_version: str

    def matches(self, source: Source) -> bool:
        """Whether the file and what is read of it are as they were when it was stored, or when it failed."""
        known = self.size, self.mtime_ns, self.facts_version
        return known == (source.size, source.mtime_ns, source.facts_version)


class Donor(NamedTuple):
    """A stored file whose vectors fit another file, because the content is the same."""

    file_id: int
    path: Path
    size: int
    mtime_ns: int

    @property
    def has_left(self) -> bool:
        """Whether the file is no longer at its place, or is another one there."""
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # it cannot be looked at, so nothing is known
            return False
        return (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns)


class Failure(NamedTuple):
    """A file that could not be indexed, and why; or one that was, and what is amiss with it."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Settings:
    """How a root is indexed, and what its last whole run saw.

    `exclude` are gitignore's rules of what is left out, `follow_links` says whether links to folders are followed,
    `ocr` whether words are read in photos. `readers` names the models by which the modalities that need one are read
    there, {"speech": "base"}. `limits` are by their names those that held, none before the first run; `passed_over`
    counts, by suffix, the files of kinds that nothing reads.
    """

    exclude: tuple[str, ...] = ()
    follow_links: bool = False
    ocr: bool = False
    readers: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    passed_over: Mapping[str, int] = field(default_factory=dict)


class Files:
    """What is known of roots, folders and files. What changes a file works inside `Database.atomic`."""

    # the version of a catalog that keeps notes
    noted_from = NOTED

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.connection

    # roots

    def roots(self) -> dict[Path, Path]:
        """The folders and files that were asked for, each with the mount point that it was on."""
        rows = self._connection.execute("SELECT path, volume FROM roots ORDER BY path")
        return {Path(path): Path(volume) for path, volume in rows}

    def add_root(self, path: Path, volume: Path) -> None:
        """Remembers a root; asked again, remembers the mount point that it is on now."""
        if self.roots().get(path) == volume:
            return
        with self._database.atomic():
            sql = "INSERT INTO roots VALUES (?, ?) ON CONFLICT (path) DO UPDATE SET volume = excluded.volume"
            self._connection.execute(sql, (str(path), str(volume)))

    def settings(self) -> dict[Path, Settings]:
        """The settings of the roots."""
        meta = self._database.meta()
        return {root: _settings(meta.get(f"{SETTINGS}{root}")) for root in self.roots()}

    def set_settings(self, root: Path, settings: Settings) -> None:
        """Records how a root is indexed."""
        if self.settings().get(root) != settings:
            with self._database.atomic():
                self._database.set_meta(**{f"{SETTINGS}{root}": json.dumps(asdict(settings))})

    def passed_over(self) -> Counter[str]:
        """The files of kinds that nothing reads, by suffix, in the last runs over the roots."""
        settings = self.settings()
        outermost = [root for root in settings if settings.keys().isdisjoint(root.parents)]
        return sum((Counter(settings[root].passed_over) for root in outermost), Counter())

    def folders_under(self, root: Path) -> list[Path]:
        """The folders at or under `root` that hold files."""
        return [Path(path) for _, path in self._folder_rows(root)]

    def _folder_rows(self, root: Path) -> list[tuple[int, str]]:
        sql = f"SELECT id, path FROM folders WHERE {AT_OR_BELOW} ORDER BY path"
        return self._connection.execute(sql, range_below(root)).fetchall()

    def in_folder(self, folder: Path) -> dict[tuple[str, str], FileState]:
        """The known files of one folder, by name and modality."""
        rows = self._connection.execute(
            "SELECT name, modality, files.id, size, mtime_ns, error, facts_version FROM files "
            "JOIN folders ON folders.id = folder_id WHERE folders.path = ?",
            (str(folder),),
        )
        return {(name, modality): FileState(*state) for name, modality, *state in rows}

    def knows(self, path: Path) -> bool:
        """Whether `path` is a root, a folder or a file of the library, or above one."""
        if path in self.roots() or self._folder_rows(path):
            return True
        sql = "SELECT 1 FROM files JOIN folders ON folders.id = folder_id WHERE folders.path = ? AND name = ?"
        return self._database.scalar(sql, (str(path.parent), path.name)) is not None

    def failures(self) -> list[Failure]:
        """The files that could not be indexed and the places that could not be looked at, by path."""
        rows = self._connection.execute(
            "SELECT folders.path, name, error FROM files JOIN folders ON folders.id = folder_id "
            "WHERE error IS NOT NULL UNION ALL SELECT path, '', reason FROM blocked ORDER BY 1, 2"
        )
        return [Failure(Path(folder, name), error) for folder, name, error in rows]

    def notes(self) -> list[Failure]:
        """The files with which something is amiss, though they were read, by path; none of an old catalog."""
        if self._database.version < self.noted_from:
            return []
        rows = self._connection.execute(
            "SELECT folders.path, name, note FROM files JOIN folders ON folders.id = folder_id "
            "WHERE note IS NOT NULL AND folders.path != ? ORDER BY 1, 2",
            (str(LIMBO),),
        )
        return [Failure(Path(folder, name), note) for folder, name, note in rows]

    def set_blocked(self, root: Path, places: Iterable[Failure]) -> None:
        """Records the places at or under `root` that cannot be looked at, instead of those known before."""
        known = self._connection.execute(f"SELECT path, reason FROM blocked WHERE {AT_OR_BELOW}", range_below(root))
        # a name that is not UTF-8 can be shown, if not stored as it is
        blocked = {shown(place.path): place.reason for place in places}
        if blocked == dict(known):
            return
        with self._database.atomic():
            self._connection.execute(f"DELETE FROM blocked WHERE {AT_OR_BELOW}", range_below(root))
            self._connection.executemany("INSERT INTO blocked VALUES (?, ?)", blocked.items())

    # one file

    def put(self, source: Source, fingerprint: bytes | None = None, error: str | None = None) -> int:
        """The file's id, its state recorded; what was at its place before is displaced."""
        self._displace(source)
        cursor = self._connection.execute(
            "INSERT INTO files (folder_id, name, modality, size, mtime_ns, fingerprint, error, facts_version) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._folder_id(source.path.parent),
                source.path.name,
                source.modality,
                source.size,
                None if error is None else source.mtime_ns,
                fingerprint,
                error,
                source.facts_version,
            ),
        )
        return int(cursor.lastrowid or 0)

    def _folder_id(self, folder: Path) -> int:
        known = self._database.scalar("SELECT id FROM folders WHERE path = ?", (str(folder),))
        if known is None:
            known = self._connection.execute("INSERT INTO folders (path) VALUES (?)", (str(folder),)).lastrowid
        return int(known)

    def is_stored_by_another(self, source: Source) -> bool:  # noqa: ARG002 - of a library on a server
        """Whether another indexer has stored the file since this one began; in a folder there is only one."""
        return False

    def complete(self, file_id: int, source: Source) -> None:
        """Records that all items of the file are stored: from now on it counts as unchanged."""
        self._connection.execute("UPDATE files SET mtime_ns = ? WHERE id = ?", (source.mtime_ns, file_id))

    def set_note(self, file_id: int, note: str | None) -> None:
        """Records what is amiss with a file that can be read all the same; None for nothing."""
        self._connection.execute("UPDATE files SET note = ? WHERE id = ?", (note, file_id))

    def doubt(self, item_ids: Int64Array) -> None:
        """Makes the files of items count as changed, and their vectors as those of no content."""
        self._connection.executemany(
            "UPDATE files SET mtime_ns = NULL, fingerprint = NULL WHERE id = (SELECT file_id FROM items WHERE id = ?)",
            [(id,) for id in item_ids.tolist()],
        )

    def move(self, file_id: int, source: Source) -> bool:
        """Gives a stored file a new place. False if it is still at its old one."""
        donor = next(iter(self._donors("files.id = ?", (file_id,))), None)
        if donor is None or not (donor.path == source.path or donor.has_left):
            return False
        if donor.path != source.path:
            self._displace(source)
        self._connection.execute(
            "UPDATE files SET folder_id = ?, name = ?, mtime_ns = ?, facts_version = ? WHERE id = ?",
            (self._folder_id(source.path.parent), source.path.name, source.mtime_ns, source.facts_version, file_id),
        )
        return True

    def _displace(self, source: Source) -> None:
        """Sends the file that is known at that place, if there is one, to `LIMBO`."""
        known = self.state(source.path, source.modality)
        if known is not None:
            self._connection.execute(
                "UPDATE files SET folder_id = ?, name = ?, error = NULL WHERE id = ?",
                (self._folder_id(LIMBO), str(known.id), known.id),
            )

    def state(self, path: Path, modality: str) -> FileState | None:
        """The file that is known at that place; None if there is none."""
        row = self._connection.execute(
            "SELECT files.id, size, mtime_ns, error, facts_version FROM files JOIN folders ON folders.id = folder_id "
            "WHERE folders.path = ? AND name = ? AND modality = ?",
            (str(path.parent), path.name, modality),
        ).fetchone()
        return FileState(*row) if row else None

    def forget(self, file_ids: Iterable[int]) -> None:
        """Removes files with their items and vectors."""
        self._connection.executemany("DELETE FROM files WHERE id = ?", [(file_id,) for file_id in file_ids])

    def forget_displaced(self) -> None:
        """Removes the files that others took the place of and that turned up nowhere."""
        limbo = self._database.scalar("SELECT id FROM folders WHERE path = ?", (str(LIMBO),))
        if limbo is not None:
            with self._database.atomic():
                self._connection.execute("DELETE FROM files WHERE folder_id = ?", (limbo,))
                self.forget_empty_folders()

    def forget_empty_folders(self) -> None:
        """Removes the folders in which no file is left."""
        self._connection.execute("DELETE FROM folders WHERE id NOT IN (SELECT folder_id FROM files)")

    def forget_under(self, path: Path) -> None:
        """Removes the roots, folders and files at or below a path, and what could not be looked at there."""
        folders = [(folder_id,) for folder_id, _ in self._folder_rows(path)]
        self._connection.executemany("DELETE FROM files WHERE folder_id = ?", folders)
        self._connection.execute(
            "DELETE FROM files WHERE name = ? AND folder_id = (SELECT id FROM folders WHERE path = ?)",
            (path.name, str(path.parent)),
        )
        self._connection.execute(f"DELETE FROM blocked WHERE {AT_OR_BELOW}", range_below(path))
        for root in self.roots():
            if root.is_relative_to(path):
                self._connection.execute("DELETE FROM roots WHERE path = ?", (str(root),))
                self._connection.execute("DELETE FROM meta WHERE key = ?", (f"{SETTINGS}{root}",))
        self.forget_empty_folders()

    # files of equal content

    def donor(self, fingerprint: bytes, source: Source) -> Donor | None:
        """A wholly stored file of the same content: by preference the same file, then one that has left its place."""
        same, place = "fingerprint = ? AND modality = ?", "folders.path = ? AND name = ?"
        content = (fingerprint, source.modality)
        itself = self._donors(f"{same} AND {place}", (*content, str(source.path.parent), source.path.name))
        donors = itself or self._donors(same, content)
        return min(donors, key=lambda donor: not donor.has_left, default=None)

    def _donors(self, where: str, parameters: Sequence[Any]) -> list[Donor]:
        rows = self._connection.execute(
            "SELECT files.id, folders.path, name, size, mtime_ns FROM files JOIN folders ON folders.id = folder_id "
            f"WHERE {where} AND error IS NULL AND mtime_ns IS NOT NULL LIMIT {DONORS_LOOKED_AT}",
            parameters,
        )
        return [Donor(file_id, Path(folder, name), *state) for file_id, folder, name, *state in rows]


def _settings(told: str | None) -> Settings:
    values = json.loads(told) if told else {}
    return Settings(**{**values, "exclude": tuple(values.get("exclude", ()))})


def as_stored(path: Path | str) -> Path:
    """A path as the catalog has it: absolute, "~" and ".." resolved, links not."""
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - Path's own keep "..", refuse "~nobody"


def shown(path: Path | str) -> str:
    """A path that can be printed and stored, also where its name is not UTF-8."""
    return os.fsencode(path).decode(errors="backslashreplace")


def range_below(root: Path) -> tuple[str, str, str]:
    """The path itself, and the range of what lies below, without its end: "0" is the character behind "/"."""
    below = str(root).rstrip("/")
    return str(root), f"{below}/", f"{below}0"

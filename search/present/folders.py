"""Answers as folders: what was found is copied or linked, under names that keep its order and place.

`01_dog.jpg` is the first hit. Files of one name from different folders keep apart by their ranks, and what
lies in the folder already is never written over: it counts as done if it is the same, else the new file gets
a number, `01_dog (2).jpg`. Of many questions, each has a folder of its own.
"""

from __future__ import annotations

import filecmp
import re
import shutil
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.atomic import temporary_file
from indexer.errors import PathError, reason_of
from indexer.storage.files import Failure, shown
from search.hits import why_unseen
from search.present.sinks import Answer, Sink

if TYPE_CHECKING:
    from search.hits import Hit

# File systems allow 255 bytes; this leaves room for a rank, a number and what is added while a file is written.
NAME_BYTES = 220


class Folder(Sink):
    """Fills a folder, which is made when there is something to put there."""

    done: str  # what happens to a file, in a word

    @abstractmethod
    def put(self, source: Path, place: Path) -> None:
        """Makes the file at a place that is free."""

    @abstractmethod
    def is_done(self, source: Path, place: Path) -> bool:
        """Whether the file is there already."""

    def __init__(self, value: Any, *, many: bool = False) -> None:
        super().__init__(value, many=many)
        folder = Path(value).expanduser()
        if folder.exists() and not folder.is_dir():
            raise PathError(f"{folder} is a file: name a folder, which may be new.")
        self._folder = folder.absolute()
        self._put = self._known = 0

    def take(self, answer: Answer) -> None:
        folder = self._folder / question_folder(answer) if self.many else self._folder
        for name, source in ranked_names(answer.hits):
            if reason := why_unseen(source):
                self.failures.append(Failure(source, f"not {self.done}: {reason}"))
                continue
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._take_file(source.absolute(), folder / name)
            except OSError as error:
                self._refuse(source, error)

    def _take_file(self, source: Path, place: Path) -> None:
        for candidate in _candidates(place):
            if not candidate.exists() and not candidate.is_symlink():
                try:
                    self.put(source, candidate)
                except FileExistsError:  # somebody was quicker
                    continue
                self._put += 1
                return
            if self.is_done(source, candidate):
                self._known += 1
                return

    def _refuse(self, source: Path, error: OSError) -> None:
        """A file that cannot be read is one failure; a folder that cannot be written ends it all."""
        reason = reason_of(error)
        if _is_readable(source):
            done = f"; {self._put} {self.done} before" if self._put else ""
            raise PathError(f"{self._folder} cannot be written ({reason}){done}.") from error
        self.failures.append(Failure(source, f"not {self.done}: {reason}"))

    def finish(self, made: list[Path]) -> str:
        if not self._put + self._known:
            return ""
        made.append(self._folder)
        known = f", {self._known} there before" if self._known else ""
        return f"{self._put} {self.done} to {shown(self._folder)}{known}"


class Copies(Folder):
    """Copies content and times; a file of that name appears when it is whole, and never in another's place."""

    done = "copied"

    def put(self, source: Path, place: Path) -> None:
        new = temporary_file(place.parent)
        try:
            shutil.copy2(source, new)
            place.touch(exist_ok=False)
            new.replace(place)
        finally:
            new.unlink(missing_ok=True)

    def is_done(self, source: Path, place: Path) -> bool:
        return place.is_file() and not place.is_symlink() and filecmp.cmp(source, place)


class Links(Folder):
    """Puts symbolic links."""

    done = "linked"

    def put(self, source: Path, place: Path) -> None:
        place.symlink_to(source)

    def is_done(self, source: Path, place: Path) -> bool:
        return place.is_symlink() and place.readlink() == source


def ranked_names(hits: Sequence[Hit]) -> Iterator[tuple[str, Path]]:
    """The files of the hits, each once, with names that sort by rank: `("01_dog.jpg", path)`."""
    digits = max(2, len(str(len(hits))))
    seen: set[Path] = set()
    for rank, hit in enumerate(hits, start=1):
        if hit.item.path not in seen:
            seen.add(hit.item.path)
            yield f"{rank:0{digits}}_{_shortened(hit.item.path.name, hit.item.path.suffix)}", hit.item.path


def question_folder(answer: Answer) -> str:
    """A folder's name for one of many questions: `003 a dog on the beach`."""
    words = re.sub(r"[^\w .,'+-]+", "_", Path(answer.question).name).strip("._ ")
    return f"{answer.number:03} {_shortened(words)}".strip()


def _shortened(name: str, suffix: str = "") -> str:
    """The name, cut before its suffix if it is too long."""
    room = NAME_BYTES - len(suffix.encode())
    return name.removesuffix(suffix).encode()[:room].decode(errors="ignore") + suffix


def _candidates(place: Path) -> Iterator[Path]:
    """The place itself, then `name (2).jpg`, `name (3).jpg` ..."""
    yield place
    yield from (place.with_name(f"{place.stem} ({number}){place.suffix}") for number in count(2))


def _is_readable(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError:
        return False
    return True

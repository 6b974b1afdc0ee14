"""What a run of the indexer tells: while it goes, to a watcher, and in the end, as a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from indexer.storage.files import Failure


@dataclass(slots=True)
class Report:
    """What a run did, in files: read and embedded, moved, copied, removed, unchanged, failed and why.

    A copied file is a new one with the content of a known one; neither it nor a moved one is embedded.
    `old_failures` counts files that failed before and have not changed since. `absent` are places that
    could not be looked at (a drive that is not mounted): what the library holds of them is kept. `notes` say what is
    amiss with files that were read all the same. `passed_over` counts, by suffix, the files of no kind.
    """

    embedded: int = 0
    moved: int = 0
    copied: int = 0
    removed: int = 0
    unchanged: int = 0
    old_failures: int = 0
    failures: list[Failure] = field(default_factory=list)
    notes: list[Failure] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    absent: list[Path] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def has_changed(self) -> bool:
        """Whether the library is another one than before."""
        return bool(self.embedded or self.moved or self.copied or self.removed)


class Watcher:
    """Is told how a run goes, and does nothing by itself; the command line's draws a progress bar."""

    def stage(self, what: str) -> None:
        """What is done now, where no files are counted: "laying out 800 photos"."""

    def begin(self, total: int) -> None:
        """`total` files will be read."""

    def stored(self, items: int) -> None:
        """So many more items are stored; a file may hold a million, and is done after the last of them."""

    def advance(self, files: int) -> None:
        """So many more files are done."""

    def failed(self, failure: Failure) -> None:
        """A file could not be indexed."""

    def noted(self, note: Failure) -> None:
        """A file is indexed, but something is amiss with it."""

    def end(self) -> None:
        """The run is over, well or not; comes only after `begin`."""

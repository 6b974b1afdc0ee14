"""Indexing while the library is served: what the page asks for, one run at a time, of a folder below those that the
server was given, told as it goes; and what comes to the folders that are followed.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from indexer.encoders import load_encoder
from indexer.errors import DescryError, PathError, reason_of
from indexer.library import Library
from indexer.pipeline import index_sources
from indexer.report import Report, Watcher
from indexer.storage.files import Failure, shown
from indexer.watching import follow
from search.progress import summary
from search.web.problems import Busy

# Failures that are told one by one; the others are counted.
TOLD = 100

# Seconds between two looks at how far a run is.
LOOK = 0.3

# How nice a run is to the questions that are asked meanwhile, where the system lets threads be.
NICE = 10


@dataclass
class Progress:
    """How far a run is: files in all and done, items stored, failures; `end` is None until it is over."""

    total: int = 0
    files: int = 0
    items: int = 0
    failed: int = 0
    failures: deque[dict[str, str]] = field(default_factory=lambda: deque(maxlen=TOLD))
    end: dict[str, Any] | None = None

    def told(self) -> dict[str, Any]:
        """It as plain data."""
        return {"total": self.total, "files": self.files, "items": self.items, "failed": self.failed}


class _Run(Watcher):
    """Counts, and stops the run where it may be stopped: between two batches."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.is_cancelled = threading.Event()

    def begin(self, total: int) -> None:
        self.progress.total = total

    def stored(self, items: int) -> None:
        self.progress.items += items

    def advance(self, files: int) -> None:
        self.progress.files += files
        if self.is_cancelled.is_set():
            raise KeyboardInterrupt  # as Ctrl-C does it: what is done is kept

    def failed(self, failure: Failure) -> None:
        self.progress.failed += 1
        self.progress.failures.append({"path": shown(failure.path), "reason": failure.reason})


class Indexing:
    """Runs of the indexer over folders at or below `roots`. Without roots there is nothing to index."""

    def __init__(self, library: Path | str, roots: Sequence[Path]) -> None:
        self._library = library
        self.roots = [root.expanduser().resolve() for root in roots]
        self._run: _Run | None = None
        self._thread: threading.Thread | None = None
        self._follower = _Run()

    def follow(self, say: Callable[[str], None]) -> None:
        """Begins to follow all that the library knows of, until `close`; what a run has changed is said."""
        follower = threading.Thread(target=self._follow, args=(say,), name="descry-watching", daemon=True)
        follower.start()

    def _follow(self, say: Callable[[str], None]) -> None:
        _be_nice()
        try:
            with Library.open(self._library) as library:
                encoder, places = load_encoder(library.encoder_name), list(library.catalog.files.roots())
            stop = self._follower.is_cancelled
            for report in follow(self._library, places, encoder, stop=stop, thumbnails=True, watcher=self._follower):
                if report.has_changed:
                    say(summary(report))
        except DescryError as error:
            say(f"The folders are not followed any longer: {error}")

    def folders(self, path: str | None) -> list[str]:
        """The roots, or the folders in one that is at or below a root. Raises `PathError` for any other."""
        if path is None:
            return [str(root) for root in self.roots]
        folder = self._permitted(path)
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        except OSError as error:
            raise PathError(f"{path} cannot be looked at ({reason_of(error)}).") from error
        return [shown(folder / name) for name in names]

    def _permitted(self, path: str) -> Path:
        """The folder or file, links resolved. Raises `PathError` unless it is there, at or below a root."""
        with suppress(OSError, ValueError, RuntimeError):
            place = Path(path).resolve(strict=True)
            if any(place.is_relative_to(root) for root in self.roots):
                return place
        raise PathError(
            f"{path} is not below a folder that this server may index: `descry serve --root FOLDER` says so."
        )

    def start(self, path: str) -> None:
        """Begins a run. Raises `PathError`, and `Busy` while one is under way."""
        place = self._permitted(path)
        if self._thread is not None and self._thread.is_alive():
            raise Busy("A folder is being indexed already: wait for it, or stop it.")
        self._run = _Run()
        self._thread = threading.Thread(
            target=self._index, args=(place, self._run), name="descry-indexing", daemon=True
        )
        self._thread.start()

    def _index(self, place: Path, run: _Run) -> None:
        _be_nice()
        try:
            with Library.open(self._library) as library:
                name = library.encoder_name
            encoder = load_encoder(name)
            with Library.create(self._library, encoder) as library:
                run.progress.end = _told(index_sources(library, [place], encoder, thumbnails=True, watcher=run))
        except DescryError as error:
            run.progress.end = {"problem": str(error)}
        except BaseException as error:
            run.progress.end = {"problem": f"The run ended by a fault of Descry ({type(error).__name__})."}
            raise

    def cancel(self) -> bool:
        """Stops the run under way after its batch; whether there was one."""
        if self._run is None or self._run.progress.end is not None:
            return False
        self._run.is_cancelled.set()
        return True

    async def events(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """What the last run does: "progress" whenever there is some, in the end "failed" for each, and "end"."""
        run, last = self._run, None
        while run is not None:
            is_over = run.progress.end is not None
            told = run.progress.told()
            if told != last:
                yield "progress", told
                last = told
            if is_over:
                for failure in run.progress.failures:
                    yield "failed", failure
                yield "end", run.progress.end or {}
                return
            await anyio.sleep(LOOK)

    def close(self) -> None:
        """Stops what is under way, and waits for the end of the batch of the run that was asked for."""
        self._follower.is_cancelled.set()
        if self.cancel() and self._thread is not None:
            self._thread.join(10)


def _be_nice() -> None:
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def _told(report: Report) -> dict[str, Any]:
    counts = ("embedded", "moved", "copied", "removed", "unchanged", "old_failures")
    return {
        **{name: getattr(report, name) for name in counts},
        "failed": len(report.failures),
        "seconds": round(report.seconds, 1),
        "interrupted": report.interrupted,
    }

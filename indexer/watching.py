"""Following folders: what the system says has changed is indexed, and now and then everything is looked at anew.

The system's events only make it quicker. Where they are not to be had (network drives, too many folders) or some were
missed, the next look at everything finds what came.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event

from watchfiles import watch

from indexer.encoders.base import Encoder
from indexer.errors import LibraryLocked, PathError
from indexer.library import Library
from indexer.pipeline import index_sources
from indexer.report import Report, Watcher
from indexer.storage.files import Settings
from indexer.walk import IGNORE_FILE, rules_above

# Seconds between two looks at everything; for 100,000 unchanged files one takes about a second of a core.
SCAN_EVERY = 600.0

# Milliseconds without an event after which what came is indexed: a file that is being copied is not read half.
QUIET = 2_000

# Seconds after which it is indexed although there is no quiet, and after which a library that is in use is tried again.
PATIENCE = 30.0


def follow(
    library: Path | str,
    paths: Iterable[Path],
    encoder: Encoder,
    *,
    stop: Event,
    scan_every: float = SCAN_EVERY,
    thumbnails: bool = False,
    watcher: Watcher | None = None,
) -> Iterator[Report]:
    """Indexes the paths, then what changes in all that the library knows of, until `stop`: a report a run.

    Where events are not to be had, the watcher is told so as a stage. Ctrl-C ends it with an interrupted report, or is
    raised while nothing is indexed. Raises what `index_sources` raises; later it waits for a library that is in use.
    """
    watcher = watcher or Watcher()
    with Library.create(library, encoder) as opened:

        def run(places: Iterable[Path]) -> Report:
            return index_sources(opened, places, encoder, thumbnails=thumbnails, watcher=watcher)

        report = run(paths)
        yield report
        changes = _changes(opened, stop, scan_every, watcher)
        while not report.interrupted and (due := next(changes, None)) is not None:
            while not stop.is_set():
                try:
                    report = run(due)
                    yield report
                except PathError:  # it came and went
                    pass
                except LibraryLocked:
                    stop.wait(PATIENCE)
                    continue
                break


def _changes(library: Library, stop: Event, scan_every: float, watcher: Watcher) -> Iterator[set[Path]]:
    """What to look at: folders in which something changed, and everything when events begin and now and then."""
    while not stop.is_set():
        settings = library.catalog.files.settings()
        roots = {root for root in settings if root.exists()}
        due, until, since = set[Path](), 0.0, 0.0
        for events in _events(roots, stop, watcher):
            now = time.monotonic()
            if not until:  # from here on nothing is missed, but something may have come before
                until = now + scan_every
                yield set(settings)
            elif now > until:
                break  # the roots may be others now
            since = since if due else now
            places = {place for path in events if (place := _place(Path(path), settings, library.path))}
            due |= places
            if due and (not places or now - since > PATIENCE):
                yield due
                due = set()


def _events(roots: set[Path], stop: Event, watcher: Watcher) -> Iterator[set[str]]:
    """What changed, and nothing now and then: each time that it is quiet."""
    if roots:
        try:
            for changes in watch(
                *roots,
                watch_filter=None,
                stop_event=stop,
                rust_timeout=QUIET,
                yield_on_timeout=True,
                raise_interrupt=True,
                ignore_permission_denied=True,
            ):
                yield {path for _, path in changes}
        except OSError as error:
            watcher.stage(f"The system does not say what changes ({error}): looking at everything every now and then")
    while not stop.wait(QUIET / 1000):
        yield set()


def _place(path: Path, settings: dict[Path, Settings], library: Path) -> Path | None:
    """The folder to look at for a path that changed; None for what is left out, and for the library's own files."""
    if path.is_relative_to(library):
        return None
    if path.name != IGNORE_FILE and path not in settings and rules_above(path, settings) is None:
        return None
    while path not in settings and not path.is_dir():
        path = path.parent
    return path

"""How a run of the indexer is watched: a bar on a terminal, plain lines elsewhere, both on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tqdm import tqdm

from indexer.report import Report, Watcher
from indexer.storage.files import Failure, shown
from search.status import of_no_kind
from search.terminal import say

if TYPE_CHECKING:
    from indexer.transfer.importing import Imported

# Seconds between two plain lines: a log of an hour stays readable.
PLAIN_EVERY = 10.0


class _Spoken(Watcher):
    """Says on stderr what a run comes to, counted in some unit."""

    def __init__(self, unit: str = "files") -> None:
        self._unit = unit

    def stage(self, what: str) -> None:
        say(f"{what} ...")

    def failed(self, failure: Failure) -> None:
        say(f"skipped {shown(failure.path)}: {failure.reason}")

    def noted(self, note: Failure) -> None:
        say(f"note: {shown(note.path)}: {note.reason}")


class Bar(_Spoken):
    """A bar with rate and time left."""

    def begin(self, total: int) -> None:
        unit = f" {self._unit}"
        self._bar = tqdm(total=total, unit=unit, file=sys.stderr, smoothing=0.1, dynamic_ncols=True, leave=False)
        self._items = 0

    def stored(self, items: int) -> None:
        self._items += items
        if self._items > self._bar.n + items:
            self._bar.set_postfix_str(f"{self._items} items")

    def advance(self, files: int) -> None:
        self._bar.update(files)

    def failed(self, failure: Failure) -> None:
        with tqdm.external_write_mode(file=sys.stderr):
            super().failed(failure)

    def noted(self, note: Failure) -> None:
        with tqdm.external_write_mode(file=sys.stderr):
            super().noted(note)

    def end(self) -> None:
        self._bar.close()


class Lines(_Spoken):
    """A line with rate and time left, every now and then."""

    def begin(self, total: int) -> None:
        self._total, self._done, self._items = total, 0, 0
        self._started = self._said = time.monotonic()
        say(f"{total} {self._unit} to read")

    def stored(self, items: int) -> None:
        self._items += items

    def advance(self, files: int) -> None:
        self._done += files
        now = time.monotonic()
        if now - self._said >= PLAIN_EVERY:
            self._said = now
            items = f", {self._items} items" if self._items > self._done else ""
            say(f"{self._done} of {self._total} {self._unit}{items}{self._pace(now)}")

    def _pace(self, now: float) -> str:
        """Rate and time left, once something is done that tells."""
        if not self._done:
            return ""
        rate = self._done / (now - self._started)
        return f", {rate:.0f}/s, {tqdm.format_interval((self._total - self._done) / rate)} left"


def watcher(unit: str = "files") -> Watcher:
    """The one that suits where stderr goes."""
    return Bar(unit) if sys.stderr.isatty() else Lines(unit)


def summary(report: Report) -> str:
    """What a run did, in a line, and a line more for each place that was not there."""
    counts = {
        "embedded": report.embedded,
        "moved": report.moved,
        "copied": report.copied,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "failed": len(report.failures),
        "failed before and unchanged (see `descry status --failed`)": report.old_failures,
    }
    files = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing to index"
    rate = f", {report.embedded / report.seconds:.0f} files/s" if report.embedded else ""
    absent = [f"\nnot there now, so its items are kept (`descry remove` drops them): {path}" for path in report.absent]
    passed_over = of_no_kind(report.passed_over)
    return f"{files} in {report.seconds:.1f} s{rate}{''.join(absent)}" + (f"\n{passed_over}" if passed_over else "")


def imported(report: Imported) -> str:
    """What an import did, in a line."""
    counts = {
        "stored": report.stored,
        "of them without their file": report.missing,
        "known before": report.known,
    }
    items = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing to import"
    return f"{items} in {report.seconds:.1f} s"

"""Folders are followed: what comes, changes or goes is in the library a moment later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from painting import paint

from indexer import Encoder, Library, index_sources, watching
from indexer.report import Watcher
from indexer.testing import color_encoder

# Seconds within which something has to come of it, on a machine however busy.
SOON = 60.0


class Stages(Watcher):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def stage(self, what: str) -> None:
        """Keeps it."""
        self.said.append(what)


@contextmanager
def following(library: Path, *paths: Path, **options: Any) -> Iterator[list[Any]]:
    """The reports of runs that follow the paths, as they come; the first is there."""
    stop, reports = threading.Event(), list[Any]()

    def follow() -> None:
        for report in watching.follow(library, paths, color_encoder(), stop=stop, **options):
            reports.append(report)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        soon(lambda: reports)
        yield reports
    finally:
        stop.set()
        thread.join(SOON)
        assert not thread.is_alive()


def soon(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + SOON
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def names(library: Path) -> set[str]:
    with Library.open(library) as opened:
        return {item.path.name for item in opened.catalog.items(opened.catalog.ids("image").tolist())}


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "QUIET", 100)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    paint(folder / "red.png", "red")
    return folder


def test_what_comes_and_goes_is_noticed_at_once_at_any_depth(folder: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    with following(library, folder):
        soon(lambda: names(library) == {"red.png"})
        paint(folder / "trip" / "blue.png", "blue")
        soon(lambda: names(library) == {"red.png", "blue.png"})
        (folder / "trip" / "blue.png").rename(folder / "sea.png")
        soon(lambda: names(library) == {"red.png", "sea.png"})
        (folder / "new" / "deep").mkdir(parents=True)
        paint(folder / "new" / "deep" / "green.png", "green")
        soon(lambda: names(library) == {"red.png", "sea.png", "green.png"})
        (folder / "red.png").unlink()
        soon(lambda: names(library) == {"sea.png", "green.png"})


def test_what_is_left_out_stays_out_until_the_rules_are_others(folder: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    (folder / ".descryignore").write_text("private\n", "utf-8")
    (folder / "private").mkdir()
    with following(library, folder) as reports:
        soon(lambda: len(reports) > 1)
        paint(folder / "private" / "blue.png", "blue")
        paint(folder / ".hidden.png", "blue")
        paint(folder / "green.png", "green")
        soon(lambda: "green.png" in names(library))
        assert names(library) == {"red.png", "green.png"}
        (folder / ".descryignore").write_text("", "utf-8")
        soon(lambda: "blue.png" in names(library))
    with Library.open(library) as opened:
        assert list(opened.catalog.files.roots()) == [folder]


def test_a_library_within_its_folder_does_not_wake_itself(folder: Path) -> None:
    with following(folder / "library", folder) as reports:
        soon(lambda: len(reports) > 1)
        paint(folder / "green.png", "green")
        soon(lambda: "green.png" in names(folder / "library"))
        count = len(reports)
        time.sleep(1.0)
        assert len(reports) == count


def test_where_the_system_says_nothing_everything_is_looked_at_now_and_then(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watching, "watch", refuse)
    library, stages = tmp_path / "library", Stages()
    with following(library, folder, scan_every=0.2, watcher=stages):
        soon(lambda: stages.said)
        paint(folder / "trip" / "blue.png", "blue")
        soon(lambda: names(library) == {"red.png", "blue.png"})
    assert "watch limit reached" in stages.said[0]


def test_a_library_that_is_in_use_is_waited_for(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PATIENCE", 0.2)
    place = tmp_path / "library"
    with following(place, folder) as reports, Library.open(place, readonly=False) as library:
        soon(lambda: len(reports) > 1)
        with library.lock():
            paint(folder / "blue.png", "blue")
            time.sleep(1.0)
            assert names(place) == {"red.png"}
        soon(lambda: names(place) == {"red.png", "blue.png"})


def test_a_root_that_another_run_added_is_followed_too(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    place, other = tmp_path / "library", tmp_path / "other"
    other.mkdir()
    with following(place, folder, scan_every=0.5) as reports:
        soon(lambda: len(reports) > 1)
        paint(other / "blue.png", "blue")
        with Library.create(place, encoder) as library:
            index_sources(library, [other], encoder)
        count = len(reports)
        soon(lambda: len(reports) > count + 1)
        paint(other / "green.png", "green")
        soon(lambda: names(place) == {"red.png", "blue.png", "green.png"})


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
@pytest.mark.parametrize(("ended_by", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_command_ends_cleanly(ended_by: int, code: int, folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "search", "--library", str(tmp_path / "library"), "watch", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    while "1 embedded" not in said:
        said += process.stderr.readline()
        assert said.endswith("\n"), said  # else it has ended
    process.send_signal(ended_by)
    said = "".join(process.communicate(timeout=SOON))
    assert (process.returncode, said) == (code, "Interrupted.\n")

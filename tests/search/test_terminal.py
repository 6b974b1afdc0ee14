"""Indexing as somebody at a terminal sees it, and stops it."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

CAT = Path(__file__).parent.parent.parent / "data" / "photos" / "cat.jpg"

# Far more than are indexed before the tests interrupt: several hundred of them take a second.
PHOTOS = 1000


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos of which no two are alike."""
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(CAT) as cat:
        for number in range(PHOTOS):
            left, top = number % 40, number // 40
            cat.crop((left, top, left + 200, top + 200)).save(folder / f"{number}.jpg")
    return folder


def start(tmp_path: Path, photos: Path, stderr: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "search", "--library", str(tmp_path / "library"), "index", str(photos)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


@contextmanager
def at_a_terminal(tmp_path: Path, photos: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The program at a pseudo-terminal of 80 columns, and our end of that; it is ended whatever the test says."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = start(tmp_path, photos, theirs)
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.communicate()
        os.close(ours)


def read_until(descriptor: int, pattern: str) -> str:
    """What is shown until the pattern is; an error of the descriptor's where the program ends before."""
    shown = ""
    while not re.search(pattern, shown):
        shown += os.read(descriptor, 4096).decode(errors="replace")
    return shown


# The bar is not drawn for every batch: any count that is neither the beginning nor the end will do.
UNDER_WAY = rf" [1-9]\d{{1,2}}/{PHOTOS} \[\d\d:\d\d<\d\d:\d\d, +\d+\.\d\d files/s\]"


def test_a_terminal_shows_a_bar_with_rate_and_time_left(tmp_path: Path, photos: Path) -> None:
    with at_a_terminal(tmp_path, photos) as (process, ours):
        read_until(ours, UNDER_WAY)
        assert process.poll() is None


def test_an_interrupt_stops_at_once_keeps_what_is_done_and_says_how_to_go_on(tmp_path: Path, photos: Path) -> None:
    with at_a_terminal(tmp_path, photos) as (process, ours):
        shown = read_until(ours, UNDER_WAY)
        process.send_signal(signal.SIGINT)
        read_until(ours, "run the same command again to go on")
        summary, _ = process.communicate(timeout=600)
        assert process.returncode == 130
    done = int(summary.split()[0])
    assert done >= max(int(count) for count in re.findall(rf" (\d+)/{PHOTOS}", shown))

    again = start(tmp_path, photos, subprocess.PIPE)
    summary, plain = again.communicate()
    assert again.returncode == 0
    assert f"{PHOTOS - done} embedded, {done} unchanged" in summary
    assert f"{PHOTOS - done} files to read" in plain

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
import time
from pathlib import Path

import pytest
from PIL import Image

CAT = Path(__file__).parent.parent.parent / "data" / "photos" / "cat.jpg"

# The word: an interrupt ends the run within two seconds.
PATIENCE = 2.0


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three hundred photos, no two alike: more than are indexed before the tests interrupt."""
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(CAT) as cat:
        for number in range(300):
            left, top = number % 20, number // 20
            cat.crop((left, top, left + 200, top + 200)).save(folder / f"{number}.jpg")
    return folder


def start(tmp_path: Path, photos: Path, stderr: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "search", "--library", str(tmp_path / "library"), "index", str(photos)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def terminal() -> tuple[int, int]:
    """A pseudo-terminal of 80 columns: our end, and the program's."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    return ours, theirs


def read_until(descriptor: int, words: str) -> str:
    shown = ""
    while words not in shown:
        shown += os.read(descriptor, 4096).decode(errors="replace")
    return shown


def test_a_terminal_shows_a_bar_with_rate_and_time_left(tmp_path: Path, photos: Path) -> None:
    ours, theirs = terminal()
    process = start(tmp_path, photos, theirs)
    os.close(theirs)
    shown = read_until(ours, " 64/300")
    shown += read_until(ours, " files/s]")
    process.kill()
    process.communicate()
    os.close(ours)
    assert re.search(r"32/300 \[\d\d:\d\d<\d\d:\d\d, +\d+\.\d\d files/s\]", shown)


def test_an_interrupt_stops_at_once_keeps_what_is_done_and_says_how_to_go_on(tmp_path: Path, photos: Path) -> None:
    ours, theirs = terminal()
    process = start(tmp_path, photos, theirs)
    os.close(theirs)
    read_until(ours, " 64/300")
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    read_until(ours, "run the same command again to go on")
    summary, _ = process.communicate(timeout=PATIENCE)
    os.close(ours)
    assert time.monotonic() - sent < PATIENCE
    assert process.returncode == 130
    done = int(summary.split()[0])
    assert done >= 64

    again = start(tmp_path, photos, subprocess.PIPE)
    summary, plain = again.communicate(timeout=120)
    assert again.returncode == 0
    assert f"{300 - done} embedded, {done} unchanged" in summary
    assert f"{300 - done} files to read" in plain

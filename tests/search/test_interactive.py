"""The prompt as somebody at a terminal has it, and as somebody who is at none does not."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from indexer import Library, index_sources, load_encoder
from search.cli import main
from search.interactive import Completions

PHOTOS = Path(__file__).parent.parent.parent / "data" / "photos"

# Seconds within which every answer comes, however busy the machine.
PATIENCE = 240.0

# What the keys of a terminal send.
ENTER, TAB, UP, CTRL_D = "\r", "\t", "\x1b[A", "\x04"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompt") / "library"
    encoder = load_encoder(device="cpu")
    with Library.create(path, encoder) as library:
        index_sources(library, [PHOTOS], encoder)
    return path


class Terminal:
    """`descry` at a pseudo-terminal of 100 columns."""

    def __init__(self, library: Path, home: Path) -> None:
        self.shown = ""
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        environment = os.environ | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "XDG_STATE_HOME": str(home)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "search", "--library", str(library)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def until(self, words: str) -> str:
        """What is shown until `words` are, without colours and movements; what comes behind is for the next call."""
        last = time.monotonic() + PATIENCE
        while words not in self.shown:
            ready, _, _ = select.select([self.ours], [], [], max(0, last - time.monotonic()))
            assert ready, f"{words!r} did not come: {self.shown}"
            shown = os.read(self.ours, 65536).decode(errors="replace")
            self.shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\]8;;.*?\x1b\\|\r", "", shown)
        before, _, self.shown = self.shown.partition(words)
        return before

    def answer(self, keys: str) -> str:
        """What is shown between a line and the next prompt."""
        self.type(keys + ENTER)
        self.until("\n")
        return self.until("\ndescry>")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


def test_one_asks_sees_and_refines_and_the_lines_are_kept(library: Path, tmp_path: Path) -> None:
    terminal = Terminal(library, tmp_path)
    try:
        assert "16 images" in terminal.until("descry>")
        assert re.search(r"^ +1 +0\.\d+ +\d{4}-\d\d-\d\d +\S+cat\.jpg", terminal.answer("a cat"), flags=re.MULTILINE)
        assert "a cat, more like 2\n" in terminal.answer("more like 2")
        numbers = re.findall(r"^ +(\d+) ", terminal.answer("next"), flags=re.MULTILINE)
        assert numbers == ["11", "12", "13", "14", "15"]
        assert "There is no number 99" in terminal.answer("more like 99")
        terminal.type("witho")
        terminal.until("without ")  # offered below the line, and taken by the Tab key
        assert "a cat, more like 2, without people\n" in terminal.answer(f"{TAB}people")
        assert "more like 3 " in terminal.answer("help")
        assert "without people, without people\n" in terminal.answer(UP + UP)  # what was typed before "help"
        terminal.type(CTRL_D)
        assert terminal.process.wait() == 0
    finally:
        terminal.close()
    assert "+more like 2" in (tmp_path / "descry" / "history").read_text()


def test_without_a_terminal_there_is_help(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--library", str(tmp_path)])
    assert done.exit_code == 2
    assert "descry search" in done.stderr
    assert "Commands:" in done.stderr


def test_lines_are_completed_in_the_prompt() -> None:
    completions = Completions(["/photos/holiday"], ["dog"])
    offered = [
        completion.text for completion in completions.get_completions(Document("only in /ph"), CompleteEvent(True))
    ]
    assert offered == ["only in /photos/holiday"]
    assert [one.text for one in completions.get_completions(Document("op"), CompleteEvent(True))] == ["open"]
    assert list(completions.get_completions(Document(""), CompleteEvent(True))) == []

"""What a run says while it goes, at a terminal and elsewhere."""

import io
import sys

import pytest

from search import progress
from search.progress import Bar, Lines


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for every step."""
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)


@pytest.mark.usefixtures("talkative")
def test_photos_are_told_as_files_with_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.begin(64)
    lines.stored(32)
    lines.advance(32)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "64 files to read"
    assert second.startswith("32 of 64 files, ")
    assert second.endswith("/s, 00:00 left")


@pytest.mark.usefixtures("talkative")
def test_a_file_of_many_items_is_seen_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.begin(1)
    for _ in range(2):
        lines.stored(256)
        lines.advance(0)
    assert capsys.readouterr().err.splitlines()[1:] == ["0 of 1 files, 256 items", "0 of 1 files, 512 items"]


def test_the_bar_tells_the_items_once_they_are_more_than_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    bar = Bar()
    bar.begin(100)
    bar.stored(32)
    bar.advance(32)
    assert "items" not in sys.stderr.getvalue()
    for _ in range(2):
        bar.stored(256)
        bar.advance(0)
    bar.end()
    assert "544 items" in sys.stderr.getvalue()

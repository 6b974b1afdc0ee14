"""Answers on the screen: pictures in a terminal, and the desktop's own programs."""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import webbrowser
from pathlib import Path

import click
import pytest
from painting import paint

from indexer import Item
from indexer.errors import PathError, QueryError
from search import Hit
from search.present.preview import CELL, rows
from search.present.sinks import OPENED, open_sinks

ROOT = Path(__file__).parents[3]


def hits(*paths: Path) -> list[Hit]:
    return [Hit(Item("image", path), 0.5) for path in paths]


# previews


def test_photos_stand_in_rows_above_their_names(photos: Path) -> None:
    found = hits(*(paint(photos / f"{color}.png", color) for color in ("red", "lime", "blue")), photos / "gone.png")
    (first, above), (second, below) = rows(list(enumerate(found, start=1)), across=3, width=20)
    assert first.size == (60 * CELL, 15 * CELL)
    assert second.size == (20 * CELL, 15 * CELL)
    middles = [first.getpixel((x * CELL, 7 * CELL)) for x in (10, 30, 50)]
    assert middles == [pytest.approx(color, abs=3) for color in ((254, 0, 0), (0, 255, 1), (0, 0, 254))]
    assert second.getbbox() is None  # what cannot be read stays black
    assert [above.index(word) for word in ("1 0.500 red.png", "2 0.500 lime.png", "3 0.500 blue.png")] == [0, 20, 40]
    assert below == "4 0.500 gone.png"


def test_a_long_name_does_not_push_its_neighbours(photos: Path) -> None:
    found = hits(paint(photos / ("long" * 20 + ".png")), paint(photos / "b.png"))
    ((_, names),) = rows(list(enumerate(found, start=1)), across=2, width=20)
    assert names.index("2 0.500 b.png") == 20


def on_a_terminal(code: str) -> str:
    """What the code writes to a terminal of 80 columns that knows colours and answers no questions."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    return shown.decode()


def test_a_plain_terminal_shows_a_photo_as_coloured_half_blocks(photos: Path) -> None:
    photo = paint(photos / "red.png", (250, 0, 0))
    shown = on_a_terminal(
        "from pathlib import Path\nfrom indexer import Item\nfrom search import Hit\n"
        "from search.present.sinks import open_sinks\n"
        "with open_sinks({'preview': True}) as sinks:\n"
        f"    sinks.take('red', [Hit(Item('image', Path({str(photo)!r})), 0.5)])\n"
        "    assert sinks.finish() == ([], [])"
    )
    assert re.search(r"\x1b\[38;2;2[45]\d;[01];[01];48;2;2[45]\d;[01];[01]m▀", shown)
    assert shown.rstrip().endswith("1 0.500 red.png")


def test_where_there_is_no_terminal_nothing_is_drawn_and_it_says_so(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_sinks({"preview": True}) as sinks:
        sinks.take("red", hits(paint(photos / "red.png")))
        (said,), failures = sinks.finish()
    assert (capsys.readouterr().out, failures) == ("", [])
    assert "need a terminal" in said


def test_previews_are_for_one_question() -> None:
    with pytest.raises(QueryError, match="--html FILE"), open_sinks({"preview": True}, many=True):
        pass


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "textual_image", None)
    monkeypatch.setitem(sys.modules, "textual_image.renderable", None)
    with pytest.raises(QueryError, match=r"descry\[previews\]"), open_sinks({"preview": True}):
        pass


# opening


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the desktop is asked to open, instead of opening it."""
    asked: list[str] = []

    def launch(place: str) -> int:
        asked.append(place)
        return 0

    monkeypatch.setattr(click, "launch", launch)
    return asked


def finish(chosen: dict[str, object], found: list[Hit], *, many: bool = False) -> tuple[list[str], list[str]]:
    with open_sinks(chosen, many=many) as sinks:
        sinks.take("a question", found)
        lines, failures = sinks.finish()
    return lines, [failure.path.name for failure in failures]


def test_the_photos_are_opened_the_best_first_and_not_too_many(launched: list[str], photos: Path) -> None:
    found = [paint(photos / f"{number}.png") for number in range(OPENED + 3)]
    lines, failed = finish({"open": True}, hits(photos / "gone.png", *found))
    assert launched == [str(path) for path in found[:OPENED]]
    assert (lines, failed) == ([f"the first {OPENED} are opened, 3 are not"], ["gone.png"])


def test_the_page_is_opened_when_it_is_there(launched: list[str], photos: Path, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    for many in (False, True):
        finish({"open": True, "html": str(page)}, hits(paint(photos / "a.png")), many=many)
    assert launched == [str(page)] * 2
    assert page.read_text().endswith("</html>\n")


def test_a_shot_plays_from_its_second_in_a_player_or_in_the_browser(
    launched: list[str], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = photos / "a film.mp4"
    path.touch()
    found = [Hit(Item("video", path, part)) for part in ("t12.5", "t3")] + hits(paint(photos / "a.png"))
    played: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: played.append(command))
    monkeypatch.setattr(shutil, "which", {"vlc": "/bin/vlc"}.get)
    finish({"open": True}, found)
    assert (played, launched) == ([["/bin/vlc", "--start-time=12.5", str(path)]], [str(photos / "a.png")])
    browsed: list[str] = []
    monkeypatch.setattr(shutil, "which", {}.get)
    monkeypatch.setattr(webbrowser, "open", lambda address: browsed.append(address) or True)
    finish({"open": True}, found)
    assert browsed == [f"{path.as_uri()}#t=12.5"]


def test_the_folder_is_opened(launched: list[str], photos: Path, tmp_path: Path) -> None:
    finish({"open": True, "link-to": str(tmp_path / "out")}, hits(paint(photos / "a.png")))
    assert launched == [str(tmp_path / "out")]


def test_of_many_questions_only_a_page_or_folder_can_be_opened(launched: list[str]) -> None:
    with pytest.raises(QueryError, match="--html FILE makes one page"), open_sinks({"open": True}, many=True):
        pass
    assert not launched


def test_a_machine_without_a_desktop_says_so(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click, "launch", lambda _: 1)
    with pytest.raises(PathError, match="nothing on this machine"):
        finish({"open": True}, hits(paint(photos / "a.png")))

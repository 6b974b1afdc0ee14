"""The edge where errors become lines: whatever goes wrong, one line, the right exit code, no traceback."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from painting import paint

from indexer import Library, index_sources
from indexer.errors import DescryError, LibraryError, QueryError
from indexer.testing import COLORS, color_encoder
from search import Engine
from search.cli import REFUSALS, main, refused
from search.terminal import visible

# A name that turns a terminal's text red, begins a new line and writes to the clipboard, and what shows of it.
HOSTILE = "a\x1b[31m\n\x1b]52;c;cm0=\x07\x9b\u202e.png"
SHOWN = r"a\x1b[31m\n\x1b]52;c;cm0=\x07\x9b\u202e.png"

# The command line over the encoder of colours, as its own process.
PROGRAM = """
from indexer import Library
from indexer.testing import color_encoder
Library.encoder = lambda *_, **__: color_encoder()
from search.__main__ import run
run()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    for name, color in COLORS.items():
        paint(home / "photos" / f"{name}.png", tuple(round(255 * part) for part in color))
    paint(home / "hostile" / HOSTILE, (255, 0, 0))
    paint(home / "hostile" / "Müller 海.png", (250, 0, 0))
    (home / "hostile" / "notes.txt").write_text("a red \x1b[2J one")
    with Library.create(home / "library", color_encoder()) as library:
        assert not index_sources(library, [home / "photos", home / "hostile"], color_encoder()).failures
    return home


def descry(
    home: Path, *arguments: object, before: str = "", after: str = "", **environment: str
) -> tuple[int, str, bytes]:
    """Exit code, stderr and stdout of a command line in a shell, which may redirect its streams."""
    words = " ".join(f"'{argument}'" for argument in arguments)
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"{before} exec {sys.executable} -W error -c '{PROGRAM}' --library {home / 'library'} {words} {after}",
        ],
        capture_output=True,
        env=os.environ | environment,
        timeout=120,
        check=False,
    )
    stderr = done.stderr.decode(errors="surrogateescape")
    assert "Traceback" not in stderr
    assert "Exception ignored" not in stderr
    return done.returncode, stderr, done.stdout


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (QueryError("the query is empty"), 2, "Error: the query is empty"),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (click.Abort(), 130, "Interrupted."),
        (BrokenPipeError(), 141, ""),
        (sqlite3.DatabaseError("file is not a database"), 2, "Error: The library cannot be read (file is not a data"),
        (PermissionError(13, "Permission denied", "/a/b"), 2, "Error: /a/b cannot be used (permission denied)."),
        (OSError(5, "Input/output error"), 2, "Error: A file cannot be used (input/output error)."),
        (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "no"), 2, r"Error: What was given holds bytes that are no text"),
        (MemoryError(), 2, "Error: There is not enough memory"),
        (ZeroDivisionError("division by zero"), 2, "Error: Descry itself failed (ZeroDivisionError: division by zero)"),
        (DescryError("two\nlines \x1b[31m"), 2, r"Error: two\nlines \x1b[31m"),
    ],
)
def test_every_error_has_a_line_and_a_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(error) == code
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == (1 if line else 0)
    assert any(isinstance(error, row.kind) for row in REFUSALS)


@pytest.mark.parametrize(
    ("redirect", "reason"),
    [(">/dev/full", "no space left on device"), (">&-", "bad file descriptor"), (">&- 2>/dev/null", "")],
)
def test_an_answer_that_cannot_be_written_is_said(home: Path, redirect: str, reason: str) -> None:
    code, said, _ = descry(home, "search", "red", after=redirect)
    assert code == 2
    assert reason in said
    assert len(said.splitlines()) == (1 if reason else 0)


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_what_is_said_beside_the_answer_may_be_lost(home: Path, redirect: str) -> None:
    code, _, answer = descry(home, "search", "red", "-k", 1, "--format", "paths", after=redirect)
    assert (code, answer[-5:]) == (0, b".png\n")
    assert descry(home, "search", "--on", 1999, "red", after=redirect)[0] == 0
    assert descry(home, "search", "", after=redirect)[0] == 2


def test_a_reader_that_goes_away_ends_it_quietly(home: Path) -> None:
    code, said, answer = descry(home, "list", "--format", "jsonl", before="set -o pipefail;", after="| true")
    assert (code, said, answer) in ((141, "", b""), (0, "", b""))


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"PYTHONUTF8": "0", "LC_ALL": "C"}]
)
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv", "paths", "paths0"])
def test_a_locale_that_cannot_print_a_name_loses_nothing_of_it(
    home: Path, environment: dict[str, str], form: str
) -> None:
    code, said, answer = descry(home, "list", "--path", "M*", "--format", form, **environment)
    assert (code, said) == (0, "")
    if form in ("paths", "paths0"):
        assert "Müller 海.png".encode() in answer
    if form == "json":
        assert json.loads(answer)[0]["path"].endswith("Müller 海.png")


@pytest.mark.parametrize("form", ["table", "json", "csv", "paths", "paths0"])
def test_control_characters_go_whole_into_a_pipe(home: Path, form: str) -> None:
    _, _, answer = descry(home, "list", "--path", "a*", "--format", form)
    if form == "json":
        assert {row["path"].rpartition("/")[2] for row in json.loads(answer)} == {HOSTILE}
    else:
        assert HOSTILE.encode() in answer
    if form == "paths0":
        assert answer.split(b"\0") == [os.fsencode(home / "hostile" / HOSTILE), b""]


@pytest.mark.parametrize(
    "arguments",
    [
        *(["list", "--path", "a*", "--format", form] for form in ("table", "json", "csv", "paths")),
        ["search", "red", "--modality", "text"],
        ["similar", "a\x1b[31m.png"],
        ["list", "--camera", "\x1b[31m"],
        ["status"],
        ["describe", "no\x1b[31m\x07"],
        ["x\x1b[31m"],
    ],
)
def test_no_control_character_of_a_name_or_caption_reaches_a_terminal(home: Path, arguments: list[str]) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--library", str(home / "library"), *arguments],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "NO_COLOR": "1"},
    )
    os.close(theirs)
    shown = "".join(_read(ours))
    process.wait(timeout=60)
    os.close(ours)
    plain = shown.replace("\x1b]8;;", "").replace("\x1b\\", "").replace("\r\n", "\n")  # the links that we make
    assert visible(plain, keep="\n") == plain
    if {"table", "csv", "paths"} & set(arguments):
        assert SHOWN.replace(r"\n", "\n") in plain.replace(r"\n", "\n")


def _read(descriptor: int) -> Iterator[str]:
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # the other end is closed
            return
        if not piece:
            return
        yield piece.decode(errors="replace")


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "red", "-k", "1" + "0" * 30],
        ["search", "red", "-k", "-1"],
        ["search", "red", "-n", "nan"],
        ["list", "--limit", "inf"],
        ["search", "9" * 400 + ":red"],
        ["search", "0:red"],
        ["search", "red", "--near", "nan,nan"],
        ["search", "red", "--near", "1e400,0"],
        ["groups", "-n", "0"],
        ["map", "m.html", "-n", "1" + "0" * 30],
        ["words", "x.jpg", "-k", "1" + "0" * 30],
        ["optimize", "--recall", "nan"],
        ["optimize", "--recall", "inf"],
        ["index", "--max-megapixels", "nan"],
        ["index", "--max-megapixels", "-inf"],
        ["index", "--max-megapixels", "-1"],
        ["search", "red", "--on", "99999"],
        ["search", "red", "--camera", "\udcff"],
        ["search", "red", "--in", "\udcff"],
        ["search", "red", "--not", "tag=\udcff"],
        ["search", "red", "--sort", "\udcff"],
        ["search", "red", "--modality", "\udcff"],
        ["similar", "\udcff.jpg"],
        ["similar", "\0"],
        ["search", "--queries-from", "\udcff"],
        ["tag", "--remove", "\udcff"],
        ["tag", "--labels", "\udcff"],
        ["index", "https://example.org/photos"],
        ["list", "--sort", "relevance"],
    ],
)
def test_absurd_numbers_and_bytes_that_are_no_text_are_refused_in_a_line(
    home: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "encoder", lambda *_, **__: color_encoder())
    done = CliRunner().invoke(main, ["--library", str(home / "library"), *arguments])
    assert done.exit_code == 2, done.output
    assert sum(line.startswith("Error: ") for line in done.stderr.splitlines()) == 1
    assert "itself failed" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("number", ["1" + "0" * 30, str(2**63), "-1", "0"])
def test_a_photo_may_be_asked_to_be_wider_than_any(home: Path, number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Library, "encoder", lambda *_, **__: color_encoder())
    done = CliRunner().invoke(main, ["--library", str(home / "library"), "list", "--min-width", number])
    assert done.exit_code == 0
    assert bool(done.stdout) == (int(number) < 1)


@pytest.mark.parametrize("reason", [PermissionError(13, "Permission denied"), OSError(116, "Stale file handle")])
def test_a_hit_that_cannot_be_looked_at_is_shown_and_marked(
    home: Path, reason: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def refuse(path: Path, **options: bool) -> os.stat_result:
        if path.suffix == ".png":
            raise reason
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(Library, "encoder", lambda *_, **__: color_encoder())
    done = CliRunner().invoke(main, ["--library", str(home / "library"), "search", "red", "-k", "2"])
    assert done.exit_code == 0, done.output
    assert done.stdout.count(f"({reason.strerror.lower()})") == 2
    as_json = CliRunner().invoke(main, ["--library", str(home / "library"), "search", "red", "-k", "2", "--json"])
    assert [(row["missing"], row["unseen"]) for row in json.loads(as_json.stdout)] == [
        (False, reason.strerror.lower())
    ] * 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_with_its_number_and_keeps_what_is_done(tmp_path: Path, number: signal.Signals) -> None:
    for place in range(100):
        paint(tmp_path / "photos" / f"{place}.png", (place, 0, 0))
    slow = """
import indexer, signal, time
from indexer.testing import PictureColors, color_encoder
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests may run under nohup, and a signal that is ignored stays so
prepare = PictureColors.prepare
PictureColors.prepare = lambda *given: (time.sleep(0.1), prepare(*given))[1]
indexer.load_encoder = lambda *_, **__: color_encoder()
from search.__main__ import run
run()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", slow, "--library", str(tmp_path / "library"), "index", str(tmp_path / "photos")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "files to read" in process.stderr.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 128 + number)
    assert said == "Interrupted. What is done is kept: run the same command again to go on.\n"


def test_a_library_that_was_closed_says_so(home: Path) -> None:
    with Library.open(home / "library") as library:
        engine = Engine(library, color_encoder())
    for ask in (lambda: engine.search("red"), engine.browse, engine.facets, lambda: library.catalog.counts()):
        with pytest.raises(LibraryError, match="closed"):
            ask()


def test_damaged_vectors_are_a_line_beside_the_answer(tmp_path: Path) -> None:
    paint(tmp_path / "photos" / "a.png", (255, 0, 0))
    paint(tmp_path / "photos" / "b.png", (0, 0, 255))
    with Library.create(tmp_path / "library", color_encoder()) as library:
        index_sources(library, [tmp_path / "photos"], color_encoder())
        file = library.catalog.stored.path
    file.write_bytes(file.read_bytes()[:-1] + b"\x5a")
    code, said, answer = descry(tmp_path, "search", "red", "--format", "paths")
    assert (code, answer.decode()) == (0, f"{tmp_path}/photos/a.png\n")
    assert (
        said == f"warning: 1 vectors in {file} are damaged (ids 2) and are left out: `descry index` makes them anew.\n"
    )
    rows = json.loads(descry(tmp_path, "doctor", "--json")[2])
    assert {row["what"]: row["state"] for row in rows}["vectors"] == "problem"


@pytest.mark.parametrize("option", ["--max-memory", "--max-megapixels"])
@pytest.mark.parametrize(
    "name",
    ["index", "watch", "reembed", "search", "similar", "describe", "explain", "duplicates", "map", "list", "serve"],
)
def test_what_decodes_photos_takes_the_options_that_its_refusals_name(name: str, option: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert any(option in parameter.opts for parameter in command.params)


def test_a_refused_photo_can_be_asked_with_by_a_higher_limit(home: Path) -> None:
    photo = home / "photos" / "red.png"
    code, said, _ = descry(home, "similar", photo, "--max-megapixels", "0.000001")
    assert code == 2
    assert "--max-megapixels raises it" in said
    assert descry(home, "similar", photo, "--max-megapixels", 1)[0] == 0


def test_status_names_the_files_with_which_something_is_amiss(tmp_path: Path) -> None:
    texts = tmp_path / "captions.jsonl"
    texts.write_text('{"caption": "red"}\nnonsense\n')
    with Library.create(tmp_path / "library", color_encoder()) as library:
        index_sources(library, [texts], color_encoder())
    rows = json.loads(descry(tmp_path, "status", "--json")[2])
    assert {row["what"]: row["is"] for row in rows}["indexed, with something amiss"] == 1
    assert json.loads(descry(tmp_path, "status", "--failed", "--json")[2]) == []
    ((path, reason),) = (row.values() for row in json.loads(descry(tmp_path, "status", "--notes", "--json")[2]))
    assert path == str(texts)
    assert reason.startswith("passed over line 2: not JSON")

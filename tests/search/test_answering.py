"""The commands that search, called in this process over a library of colours: options become queries."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from painting import paint

from indexer import Library, index_sources
from indexer.testing import COLORS, color_encoder
from search.cli import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Library, "encoder", lambda *_, **__: color_encoder())
    for name, color in COLORS.items():
        paint(tmp_path / "photos" / f"{name}.png", tuple(round(255 * part) for part in color))
    for copy in range(3):
        paint(tmp_path / "photos" / "Norway" / f"{copy}.png", (0, 0, 250 + copy))
    with Library.create(tmp_path / "library", color_encoder()) as library:
        index_sources(library, [tmp_path / "photos"], color_encoder())
    return tmp_path


def descry(home: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["--library", str(home / "library"), *map(str, arguments)])


def hits(home: Path, *arguments: object) -> list[dict]:
    answer = descry(home, *arguments, "--format", "json")
    assert answer.exit_code == 0, answer.output
    found: list[dict] = json.loads(answer.stdout)
    return found


def names(home: Path, *arguments: object) -> list[str]:
    return [Path(hit["path"]).stem for hit in hits(home, *arguments)]


@pytest.mark.parametrize(
    "arguments", [["white -blue"], ["white", "-blue"], ["-blue white"], ["white", "-", "blue"], ["white -1:blue"]]
)
def test_a_dash_takes_away_whether_or_not_it_is_quoted(home: Path, arguments: list[str]) -> None:
    found = hits(home, "search", *arguments, "-k11")
    assert found == hits(home, "search", "white - blue", "-k", 11)
    assert {Path(hit["path"]).stem for hit in found if hit["penalty"] == 0} == {"red", "green", "yellow", "orange"}


@pytest.mark.parametrize("arguments", [["--colour", "red"], ["-x", "red"], ["-k", "many", "red"]])
def test_a_mistyped_option_is_not_taken_for_words(home: Path, arguments: list[str]) -> None:
    assert descry(home, "search", *arguments).exit_code == 2


def test_a_hit_is_gone_on_with_by_its_id_as_the_table_shows_it(home: Path) -> None:
    id = descry(home, "search", "red", "-k", 1).stdout.split()[-1]
    assert id.startswith("id:")
    assert names(home, "similar", id, "-k", 1) == names(home, "similar", id.removeprefix("id:"), "-k", 1) == ["orange"]
    assert names(home, "search", id, "+", "green", "-k", 1) == ["yellow"]


def test_several_photos_are_asked_about_together_or_each(home: Path) -> None:
    red, cyan = (home / "photos" / f"{name}.png" for name in ("red", "cyan"))
    assert names(home, "similar", red, cyan, "-k", 1) == ["white"]
    assert names(home, "similar", red, cyan, "-k", 1, "--best-of-each") == ["orange"]


@pytest.mark.parametrize("command", [["similar", "4711"], ["describe", "id:4711"], ["search", "red + id:4711"]])
def test_an_id_that_is_not_there_is_one_line_and_exit_code_2(home: Path, command: list[str]) -> None:
    answer = descry(home, *command)
    assert answer.exit_code == 2
    assert "holds nothing under id 4711" in answer.stderr
    assert answer.stdout == ""


def test_what_is_alike_is_folded_and_counted_in_every_format(home: Path) -> None:
    (hit,) = hits(home, "search", "blue", "-k", 1, "--unique")
    assert hit["alike"] == 3
    assert "(+3 alike)" in descry(home, "search", "blue", "-k", 1, "--unique").stdout


def test_words_find_a_folder(home: Path) -> None:
    found = hits(home, "search", "a trip to norway", "-k", 3, "--words")
    assert {Path(hit["path"]).parent.name for hit in found} == {"Norway"}
    assert all(0 < hit["rank_score"] < 1 for hit in found)


def test_nothing_that_fits_is_said_so(home: Path) -> None:
    for option in (["--relevant"], ["--sort", "date"]):
        answer = descry(home, "search", "red", "-blue", "-red", "-k", 3, *option, "--path", "Norway/*")
        assert (answer.exit_code, answer.stdout) == (0, "")
        assert "nothing fits" in answer.stderr
        assert f"without {option[0]}" in answer.stderr

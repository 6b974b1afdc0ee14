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
    assert names(home, "search", id, "+", "green", "-k", 1, "--no-words") == ["yellow"]


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
        assert "fits the query" in answer.stderr
        assert f"without {option[0]}" in answer.stderr


def said(home: Path, *arguments: object) -> str:
    answer = descry(home, *arguments)
    assert (answer.exit_code, answer.stdout) == (0, ""), answer.output
    return answer.stderr


def test_an_empty_answer_names_the_filter_that_emptied_it_and_what_there_is(home: Path) -> None:
    assert "no type 'gif'; there are: png" in said(home, "search", "red", "--type", "gif")
    assert "no image has a camera" in said(home, "search", "red", "--camera", "leica", "--type", "png")
    assert f"nothing below {home / 'elsewhere'} is indexed" in said(home, "list", "--in", home / "elsewhere")
    assert str(home / "photos") in said(home, "list", "--in", home / "elsewhere")
    assert "there are photos from" in said(home, "list", "--on", 1999)
    assert "contradict each other" in said(home, "list", "--after", 2023, "--before", 2020)
    assert "contradict each other" in said(home, "search", "red", "--on", 2023, "--on", 2024, "--before", "2022")
    assert "not type png: it is true of all" in said(home, "list", "--path", "r*", "--not", "type=png")
    together = said(home, "list", "--path", "r*", "--in", home / "photos" / "Norway")
    assert "no image passes all filters together; each alone lets through: in " in together
    assert together.endswith("Norway 3, path r* 1\n")


def test_what_is_nothing_at_all_is_said_too(home: Path) -> None:
    assert "holds no text" in said(home, "search", "red", "--modality", "text")
    assert "holds no text" in said(home, "list", "--modality", "text")


def test_words_without_a_command_are_searched_for(home: Path) -> None:
    expected = names(home, "search", "a red one", "-k", 3)
    assert names(home, "a red one", "-k", 3) == expected
    assert names(home, "a", "red", "one", "-n", 3) == expected
    assert names(home, str(home / "photos" / "red.png"), "--limit", 1) == ["orange"]
    assert names(home, "id:1", "-k", 1)
    assert descry(home, "serch", "red").exit_code == 2


def test_the_library_is_named_before_or_after_the_command(home: Path) -> None:
    answer = CliRunner().invoke(main, ["search", "red", "-k", "1", "--json", "--library", str(home / "library")])
    assert json.loads(answer.stdout)[0]["path"].endswith("red.png")
    assert (
        CliRunner().invoke(main, ["--library", "/nowhere", "status", "--library", str(home / "library")]).exit_code == 0
    )
    assert str(home / "nothing") in descry(home, "search", "red", "--library", home / "nothing").stderr


def test_help_tells_of_a_command_and_of_all(home: Path) -> None:
    assert descry(home, "help", "search").stdout.startswith("Usage: main search [OPTIONS] QUERY...")
    assert "duplicates" in descry(home, "help").stdout
    unknown = descry(home, "help", "frobnicate")
    assert unknown.exit_code == 2
    assert "There are: index, ocr, caption, watch" in unknown.stderr


def test_a_list_needs_no_question(home: Path, tmp_path: Path) -> None:
    rows = hits(home, "list", "--path", "Norway/*", "--sort", "-name")
    assert [Path(row["path"]).stem for row in rows] == ["2", "1", "0"]
    assert {row["score"] for row in rows} == {None}
    answer = descry(home, "list", "-n", 2, "--format", "paths", "--sort", "name", "--html", tmp_path / "page.html")
    assert answer.stdout == "".join(f"{home / 'photos' / 'Norway' / f'{number}.png'}\n" for number in range(2))
    assert "the first 2 of 11" in answer.stderr
    assert "page.html shows 2" in answer.stderr


def test_a_bad_line_of_a_file_of_questions_is_named(home: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.txt"
    for line, reason in (
        ("nowhere.jpg", "There is no file"),
        ("id:4711", "holds nothing under id"),
        ("x - x", "cancel"),
    ):
        questions.write_text(f"red\n\n{line}\nblue\n")
        answer = descry(home, "search", "--queries-from", questions)
        assert answer.exit_code == 2
        assert f"{questions}, line 3: " in answer.stderr
        assert reason in answer.stderr


def test_what_is_to_be_said_of_many_questions_is_said_once_with_a_count(home: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.txt"
    questions.write_text("red\ngreen\n" * 35)
    answer = descry(home, "search", "--queries-from", questions, "--relevant", "--path", "Norway/*")
    assert answer.exit_code == 0
    assert len(answer.stdout.splitlines()) == 70
    (note,) = answer.stderr.splitlines()
    assert "fits the query" in note
    assert note.endswith("(70 questions)")


@pytest.mark.parametrize("content", [b"", b"no photo", b"\x89PNG\r\n\x1a\nbroken"])
def test_a_file_that_cannot_be_asked_with_is_named(home: Path, tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(content)
    for command in (["similar"], ["search", "red", "+"], ["describe"]):
        answer = descry(home, *command, broken)
        assert answer.exit_code == 2
        assert f"{broken} cannot be searched with" in answer.stderr

"""The ways in which hits are written, read back by others' readers."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from indexer import Item
from search import Hit
from search.commands.search import describe, search, similar
from search.hits import GONE
from search.present.formats import FORMATS, as_csv, as_table, table
from search.terminal import shortest

HITS = [
    Hit(Item("image", Path("/photos/sea.jpg"), facts={"width": 640}, id=7), 0.98765432),
    Hit(Item("text", Path("/notes/sea, wind.txt"), "p2", 'the "sea"\tand 海', id=9), 0.5, unseen=GONE),
]
FIELDS = {"rank", "score", "modality", "path", "part", "text", "id"}


def test_the_command_line_offers_every_format() -> None:
    for command in (search, similar, describe):
        (option,) = [option for option in command.params if option.name == "form"]
        assert tuple(option.type.choices) == tuple(FORMATS)


def test_json_is_one_array_of_objects() -> None:
    first, second = json.loads(FORMATS["json"](HITS))
    assert first.keys() >= FIELDS
    assert (first["rank"], first["score"], first["path"], first["id"]) == (1, 0.987654, "/photos/sea.jpg", 7)
    assert first["facts"] == {"width": 640}
    assert (second["rank"], second["part"], second["text"], second["missing"]) == (2, "p2", HITS[1].item.text, True)


def test_json_lines_are_the_same_objects_one_a_line() -> None:
    lines = FORMATS["jsonl"](HITS).splitlines()
    assert [json.loads(line) for line in lines] == json.loads(FORMATS["json"](HITS))


def test_csv_keeps_commas_quotes_and_tabs() -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](HITS))))
    assert rows[0].keys() >= FIELDS
    assert rows[1]["path"] == "/notes/sea, wind.txt"
    assert rows[1]["text"] == HITS[1].item.text
    assert rows[0]["width"] == "640"


def test_paths_are_each_written_once() -> None:
    assert FORMATS["paths"]([HITS[0], HITS[1], HITS[0]]) == "/photos/sea.jpg\n/notes/sea, wind.txt\n"


def test_a_table_marks_what_is_missing_and_shortens_what_is_long() -> None:
    first, second = FORMATS["table"](HITS).splitlines()
    assert first.split() == ["1", "0.988", "/photos/sea.jpg", "id:7"]
    assert "(missing)" in second
    long = Hit(Item("text", Path("a.txt"), "p1", "word " * 100), 0.1)
    assert len(FORMATS["table"]([long])) < 150


def test_what_was_asked_for_beside_the_score_is_written_and_nothing_else() -> None:
    asked = replace(HITS[0], probability=0.75, alike=3, rank_score=0.03)
    (row,) = json.loads(FORMATS["json"]([asked]))
    assert (row["probability"], row["alike"], row["rank_score"]) == (0.75, 3, 0.03)
    assert "(+3 alike)" in FORMATS["table"]([asked])
    first, second = csv.DictReader(io.StringIO(FORMATS["csv"]([asked, HITS[1]])))
    assert (first["alike"], second["alike"]) == ("3", "")
    for row in json.loads(FORMATS["json"](HITS)):
        assert not {"probability", "alike", "rank_score"} & set(row)
    assert "alike" not in FORMATS["table"]([replace(HITS[0], alike=0)])


@pytest.mark.parametrize(("form", "nothing"), [("table", ""), ("json", "[]\n"), ("jsonl", ""), ("paths", "")])
def test_no_hits_are_still_well_formed(form: str, nothing: str) -> None:
    assert FORMATS[form]([]) == nothing


NASTY = '=1+1\r\n@x,\t"quoted"\n'


def test_csv_quotes_every_line_end_and_defuses_formulas() -> None:
    texts = [NASTY, "a\rb", "a\nb", "=SUM(A1)", "+1", "-1", "@cmd", "\tx", "plain", "1-1"]
    hits = [
        Hit(Item("text", Path("/a.txt"), "p1", text, facts={"camera": text, "latitude": -33.5}), -0.5) for text in texts
    ]
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](hits), newline="")))
    defused = [text if text[0] in "ap1" else f"'{text}" for text in texts]
    assert [row["text"] for row in rows] == [row["camera"] for row in rows] == defused
    assert {(row["score"], row["latitude"]) for row in rows} == {("-0.5", "-33.5")}  # numbers are no formulas


def test_csv_has_a_column_for_each_fact_and_for_the_date_that_photos_are_sorted_by() -> None:
    facts = [{"width": 4, "taken": "2023-05-01T10:00:00"}, {"modified": "2020-01-01T00:00:00", "path": "odd"}, {}]
    hits = [Hit(Item("image", Path("/a.jpg"), facts=given), 0.5) for given in facts]
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](hits))))
    assert [row["date"] for row in rows] == ["2023-05-01T10:00:00", "2020-01-01T00:00:00", ""]
    assert [row["width"] for row in rows] == ["4", "", ""]
    assert [(row["path"], row["fact_path"]) for row in rows][1] == ("/a.jpg", "odd")


def test_json_is_plain_for_every_reader() -> None:
    name = "a\x1b\x7f\x9b\u2028\udcff.jpg"
    text = FORMATS["json"]([Hit(Item("image", Path("/", name)), 0.5)])
    text.encode()
    assert text.isprintable() or set(text) & {"\n"}
    assert not set(text) & set(name[1:6])
    assert json.loads(text)[0]["path"] == f"/{name}"


def test_a_table_has_dates_where_they_are_known_and_facts_if_it_is_long() -> None:
    facts = {"taken": "2023-05-01T10:20:30", "camera": "Pixel 6", "width": 4000, "height": 3000}
    hits = [
        Hit(Item("image", Path("/photos/a.jpg"), facts=facts, id=3), 0.5),
        Hit(Item("image", Path("/b.jpg"), id=4), 0.4),
    ]
    assert table(hits).splitlines()[0].split() == ["1", "0.500", "2023-05-01", "/photos/a.jpg", "id:3"]
    assert (
        table(hits, long=True).splitlines()[1].strip() == "2023-05-01 10:20, Pixel 6, 4000 \N{MULTIPLICATION SIGN} 3000"
    )
    assert len(table(hits, long=True).splitlines()) == 3
    listed = [Hit(hit.item) for hit in hits]
    assert table(listed).splitlines()[0].split() == ["1", "2023-05-01", "/photos/a.jpg", "id:3"]


def test_a_table_says_at_which_second_a_shot_begins() -> None:
    shot = Hit(Item("video", Path("/films/a.mp4"), "t3725.4", facts={"duration": 4000}, id=3), 0.5)
    assert table([shot], long=True).splitlines() == ["  1  0.500  /films/a.mp4 at 1:02:05  id:3", "     1:06:40 long"]


def test_paths_are_relative_where_that_is_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shortest(tmp_path / "a" / "b.jpg") == "a/b.jpg"
    assert shortest(Path("/b.jpg")) == "/b.jpg"
    hit = Hit(Item("image", tmp_path / "b.jpg"), 0.5)
    assert table([hit]) == "  1  0.500  b.jpg\n"
    assert FORMATS["paths"]([hit]) == f"{tmp_path}/b.jpg\n"
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert shortest(tmp_path / "b.jpg") == str(tmp_path / "b.jpg")


def test_columns_of_a_table_line_up_whatever_alphabet_they_are_in() -> None:
    lines = as_table([{"a": "海", "b": 1, "c": Path("/x")}, {"a": "cafe\u0301", "b": 22, "c": None}]).splitlines()
    assert lines == ["a     b   c", "海    1   /x", "cafe\u0301  22  -"]
    assert as_table([]) == "nothing to report\n"
    assert as_csv([]) == ""

"""The ways in which hits are written, read back by others' readers."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from indexer import Item
from search import Hit
from search.commands.describe import describe
from search.commands.search import search
from search.commands.similar import similar
from search.output import FORMATS

HITS = [
    Hit(Item("image", Path("/photos/sea.jpg"), facts={"width": 640}, id=7), 0.98765432),
    Hit(Item("text", Path("/notes/sea, wind.txt"), "p2", 'the "sea"\tand 海', id=9), 0.5, missing=True),
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

"""`descry ocr` and `descry index --ocr`: what they say, and what is remembered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from painting import paint

from indexer import Encoder, Library, index_sources, ocr
from indexer.storage.full_text import Line
from search.cli import main
from search.commands import index as command

Descry = Callable[..., Result]


@pytest.fixture
def descry(library: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> Descry:
    """The command over a library of three photos, with a reader that finds words in red ones."""
    for color in ("red", "green", "blue"):
        paint(photos / f"{color}.png", color)
    index_sources(library, [photos], encoder)

    def read(image: object) -> list[Line]:
        red = image.getpixel((0, 0))[0] > 200  # type: ignore[attr-defined]
        return [Line("Invoice RE16TGK", (0.1, 0.2, 0.3, 0.4))] if red else []

    monkeypatch.setattr(ocr, "load_reader", lambda: read)
    monkeypatch.setattr(Library, "encoder", lambda *_, **__: encoder)
    monkeypatch.setattr(command, "_for_indexing", lambda *_: (Library.open(library.path, readonly=False), encoder))
    return lambda *arguments: CliRunner().invoke(main, ["--library", str(library.path), *map(str, arguments)])


def test_a_library_that_is_there_is_read_once(descry: Descry) -> None:
    assert descry("ocr").stdout.startswith("1 of 3 photos hold words in ")
    assert descry("ocr").stdout == "no photo is left whose words were not read\n"
    assert "words in photos" in descry("status").stdout
    assert "read in 1 of the 3 that were looked at" in descry("status").stdout


def test_paths_are_read_alone_and_one_that_is_not_held_is_refused(descry: Descry, photos: Path, tmp_path: Path) -> None:
    assert descry("ocr", photos / "red.png").stdout.startswith("1 of 1 photos hold words in ")
    refused = descry("ocr", tmp_path / "elsewhere")
    assert "holds nothing at" in str(refused.exception) + refused.output


def test_words_stand_in_the_long_table_and_in_json(descry: Descry) -> None:
    descry("ocr")
    assert "says “Invoice RE16TGK”" in descry("list", "--long", "--path", "*red*").stdout
    (row,) = json.loads(descry("list", "--json", "--path", "*red*").stdout)
    assert (row["facts"]["words"], row["facts"]["boxes"]) == ("Invoice RE16TGK", [[0.1, 0.2, 0.3, 0.4]])


def test_indexing_with_it_is_remembered_of_the_folder(descry: Descry, photos: Path) -> None:
    assert "hold words" not in descry("index", photos).stdout
    assert "1 of 3 photos hold words" in descry("index", "--ocr", photos).stdout
    paint(photos / "new.png", (255, 0, 9))
    assert "1 of 1 photos hold words" in descry("index").stdout
    paint(photos / "newer.png", (255, 9, 9))
    assert "hold words" not in descry("index", "--no-ocr", photos).stdout
    assert "1 of 1 photos hold words" in descry("ocr").stdout


def test_what_is_missing_is_said_before_any_work_and_a_run_that_remembers_goes_on(
    descry: Descry, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descry("index", "--ocr", photos)
    paint(photos / "new.png", (255, 0, 9))
    monkeypatch.undo()
    monkeypatch.setattr(ocr, "find_spec", lambda _: None)
    for arguments in (("ocr",), ("index", "--ocr", photos)):
        refused = descry(*arguments)
        assert refused.exit_code != 0
        assert "pip install 'descry[ocr]'" in str(refused.exception) + refused.output

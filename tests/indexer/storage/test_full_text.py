"""Which items hold a word: by names, texts and captions, and what becomes of it when files come and go."""

import json
import sqlite3
from pathlib import Path

import pytest
from painting import later, paint

from indexer import Encoder, Library, index_sources
from indexer.storage.full_text import match_word, words_of
from indexer.storage.migrations import FIRST


def found(library: Library, word: str, modality: str = "image") -> set[str]:
    ids = match_word(library.catalog, word, modality)
    return {item.path.name for item in library.catalog.items(sorted(ids))}


@pytest.fixture
def places(library: Library, photos: Path, encoder: Encoder) -> Path:
    paint(photos / "Germany2019" / "IMG_1234.png")
    paint(photos / "Germany2019" / "Grandma-Elsie.png", "blue")
    paint(photos / "São Tomé" / "boat.png", "green")
    (photos / "São Tomé" / "boat.txt").write_text("Two dogs running after a frisbee\nA Müller family boat")
    (photos / "notes.txt").write_text("The frisbee was red.\n\nNothing else.")
    index_sources(library, [photos], encoder)
    return photos


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("germany", {"IMG_1234.png", "Grandma-Elsie.png"}),
        ("1234", {"IMG_1234.png"}),
        ("grandma", {"Grandma-Elsie.png"}),
        ("tome", {"boat.png"}),
        ("tomé", {"boat.png"}),
        ("dog", {"boat.png"}),
        ("run", {"boat.png"}),
        ("muller", {"boat.png"}),
        ("frisbee", {"boat.png"}),
        ("many", set()),
        ("norway", set()),
    ],
)
def test_photos_are_found_by_names_and_by_what_is_said_of_them(library: Library, word: str, names: set[str]) -> None:
    assert found(library, word) == names


@pytest.mark.usefixtures("places")
def test_texts_are_found_by_what_they_say_and_by_names(library: Library) -> None:
    texts = library.catalog.items(sorted(match_word(library.catalog, "frisbee", "text")))
    assert {item.text for item in texts} == {"Two dogs running after a frisbee", "The frisbee was red."}
    assert found(library, "notes", "text") == {"notes.txt"}


def test_what_moves_is_found_by_its_new_name_only(library: Library, places: Path, encoder: Encoder) -> None:
    (places / "Germany2019").rename(places / "Norway")
    (places / "Norway" / "IMG_1234.png").rename(places / "Norway" / "fjord.png")
    index_sources(library, [places], encoder)
    assert found(library, "germany") == found(library, "1234") == set()
    assert found(library, "norway") == {"fjord.png", "Grandma-Elsie.png"}
    assert found(library, "fjord") == {"fjord.png"}


def test_what_is_gone_or_changed_is_not_found_any_more(library: Library, places: Path, encoder: Encoder) -> None:
    (places / "São Tomé" / "boat.txt").write_text("A yacht")
    later(places / "São Tomé" / "boat.txt")
    (places / "notes.txt").unlink()
    index_sources(library, [places], encoder)
    assert found(library, "frisbee") == found(library, "frisbee", "text") == set()
    assert found(library, "yacht") == {"boat.png"}
    library.remove(places)
    for table in ("folder_words", "file_words", "text_words"):
        library.catalog.connection.execute(f"INSERT INTO {table} ({table}) VALUES ('integrity-check')")
        assert (
            library.catalog.scalar(f"SELECT count(*) FROM {table} WHERE {table} MATCH 'yacht OR boat OR germany2019'")
            == 0
        )


def test_captions_of_a_file_lead_to_photos_in_other_folders(library: Library, photos: Path, encoder: Encoder) -> None:
    paint(photos / "below" / "one.png")
    (photos / "captions.jsonl").write_text(json.dumps({"image": "below/one.png", "caption": "a lighthouse"}))
    index_sources(library, [photos], encoder)
    assert found(library, "lighthouse") == {"one.png"}


def test_a_library_from_before_there_were_words_has_them(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite3"
    old = sqlite3.connect(path)
    old.executescript(f"{FIRST} INSERT INTO folders VALUES (1, '/Germany'); PRAGMA user_version = 1;")
    old.execute("INSERT INTO files VALUES (1, 1, 'a.jpg', 'image', 1, 1, NULL, NULL)")
    old.execute("INSERT INTO items VALUES (5, 1, 'image', '', 'a castle', '{}')")
    old.execute("INSERT INTO meta VALUES ('encoder', 'colors')")
    old.commit()
    old.close()
    with Library.open(tmp_path) as library:
        assert match_word(library.catalog, "germany", "image") == match_word(library.catalog, "castle", "image") == {5}


def test_the_words_of_a_sentence_are_those_that_name_something() -> None:
    assert words_of("A dog-sled in the SNOW, a dog") == ["dog", "sled", "snow"]
    assert words_of("Cafe\u0301 'x' AND \"y\"*") == ["café", "x", "y"]
    assert words_of("... in the") == []

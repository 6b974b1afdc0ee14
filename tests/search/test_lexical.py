"""What words find, and how much each tells."""

import math
from pathlib import Path

import pytest
from painting import paint, paint_many

from indexer import Encoder, Library, index_sources
from search import Engine, Query, Term, parse
from search.lexical import found_by_words, words_that_count


@pytest.fixture
def weights(library: Library, photos: Path, encoder: Encoder):
    paint_many(photos / "holiday", 5)
    paint_many(photos / "holiday" / "Lisbon", 2)
    paint(photos / "Lisbon tram.png")
    index_sources(library, [photos], encoder)

    def weights(question: str) -> dict[str, float]:
        found = found_by_words(library.catalog, parse(question), total=8)
        return {"/".join(item.path.parts[-2:]): found[item.id] for item in library.catalog.items(list(found))}

    return weights


def test_rare_words_tell_more_and_several_tell_most(weights) -> None:
    found = weights("a tram in Lisbon")
    assert set(found) == {"photos/Lisbon tram.png", "Lisbon/00000.bmp", "Lisbon/00001.bmp"}
    assert found["photos/Lisbon tram.png"] == 1.0
    lisbon, tram = math.log(5.5 / 3.5), math.log(7.5 / 1.5)
    assert found["Lisbon/00000.bmp"] == pytest.approx(lisbon / (lisbon + tram))


def test_sentences_beside_a_photo_are_a_part_of_what_is_asked(library: Library, photos: Path, encoder: Encoder) -> None:
    paint_many(photos / "holiday", 5)
    tram = paint(photos / "Lisbon tram.png")
    index_sources(library, [photos], encoder)
    query = Query((Term("image", tram), Term("text", "lisbon", 0.5)))
    assert list(found_by_words(library.catalog, query, total=6).values()) == [pytest.approx(1 / 3)]


def test_what_most_items_hold_tells_nothing(weights) -> None:
    assert weights("holiday") == {}
    assert weights("photos") == {}


def test_a_word_that_is_taken_away_counts_against(weights) -> None:
    assert weights("lisbon -tram").keys() == {"Lisbon/00000.bmp", "Lisbon/00001.bmp"}
    assert weights("-tram") == {}


def test_words_that_few_hold_count_where_nobody_says(library: Library, photos: Path, encoder: Encoder) -> None:
    paint_many(photos / "days", 12)
    paint(photos / "days" / "tram in Lisbon.png")
    index_sources(library, [photos], encoder)

    def counting(question: str, **options: bool | None) -> list[str]:
        return words_that_count(library.catalog, parse(question, **options), total=13)

    assert counting("a tram of old days in lisbon", by_words=None) == ["tram", "lisbon"]
    assert counting("nothing of the kind", by_words=None) == []
    engine = Engine(library, encoder)
    assert engine.words_that_count(parse("lisbon", by_words=None)) == ["lisbon"]
    assert engine.words_that_count(parse("lisbon")) == []
    assert engine.words_that_count(parse("lisbon", by_words=None, relevant=True)) == []
    first = engine.search(parse("lisbon", by_words=None, k=1))[0]
    assert first.item.path.name == "tram in Lisbon.png"
    assert first.rank_score is not None
    assert all(hit.rank_score is None for hit in engine.search(parse("berlin", by_words=None)))

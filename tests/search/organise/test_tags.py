"""Tagging photos of colours: labels win where they fit, "other" wins where none does."""

from collections.abc import Callable
from pathlib import Path

import pytest
from painting import held, paint

from indexer import Encoder, Library, index_sources
from indexer.errors import LibraryLocked, QueryError
from search import Engine, Filter, parse
from search.filters import negated
from search.organise import tags
from search.organise.tags import counts, of, remove, tag
from search.organise.vocabulary import RIVALS_EVERY

# One rival a colour, so that a photo's own colour leads the second of them.
COLORS = ("red", "green", "blue", "yellow", "cyan", "magenta", "white")
WORDS = tuple(f"{color} thing" for color in COLORS for _ in range(RIVALS_EVERY))

Labels = Callable[..., Path]


@pytest.fixture(autouse=True)
def _words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.organise.vocabulary.shipped_words", lambda: WORDS)


@pytest.fixture
def painted(library: Library, encoder: Encoder, photos: Path) -> Library:
    for color in ("red", "green", "blue", "white"):
        paint(photos / f"{color}.png", color)
    index_sources(library, [photos], encoder)
    return library


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    def write(*lines: str) -> Path:
        path = tmp_path / "labels.txt"
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write


def test_photos_bear_the_labels_that_fit_and_no_others(painted: Library, encoder: Encoder, labels: Labels) -> None:
    tagging = tag(painted, labels("red", "a green thing", ""), encoder)
    assert (tagging.photos, tagging.other) == (4, 2)
    assert tagging.counts == {"red": 1, "a green thing": 1}
    ids = {path.stem: id for path, id in held(painted).items()}
    assert list(painted.catalog.tags.of(ids["red"])) == ["red"]
    assert 0.5 <= painted.catalog.tags.of(ids["red"])["red"] <= 1


def test_a_tag_filters_and_other_is_what_bears_none(painted: Library, encoder: Encoder, labels: Labels) -> None:
    tag(painted, labels("red", "green"), encoder)
    engine = Engine(painted, encoder)

    def found(*filters: Filter) -> set[str]:
        return {hit.item.path.stem for hit in engine.search(parse("red", filters=filters))}

    assert found(Filter("tag", "red")) == {"red"}
    assert found(Filter("tag", "RED "), Filter("tag", "green")) == {"red", "green"}
    assert found(negated("tag=red")) == {"green", "blue", "white"}
    assert found(Filter("tag", "other")) == {"blue", "white"}
    assert found(Filter("tag", "other"), Filter("path", "b*")) == {"blue"}
    assert found(Filter("tag", "nobody's")) == set()
    with pytest.raises(QueryError, match="give a tag"):
        Filter("tag", " ")


def test_tagging_again_takes_new_photos_in_replaces_its_own_labels_and_keeps_others(
    painted: Library, encoder: Encoder, labels: Labels, photos: Path
) -> None:
    tag(painted, labels("red"), encoder)
    tag(painted, labels("green"), encoder)
    paint(photos / "rouge.png", (250, 0, 0))
    (photos / "green.png").unlink()
    index_sources(painted, [photos], encoder)
    tag(painted, labels("red", "green"), encoder)
    assert painted.catalog.tags.counts() == {"red": 2}
    assert counts(painted) == [{"tag": "red", "photos": 2}, {"tag": "other", "photos": 2}]


def test_a_label_that_is_there_twice_counts_once_and_as_it_was_first_written(
    painted: Library, encoder: Encoder, labels: Labels
) -> None:
    assert tag(painted, labels("red", "Red", "green"), encoder).counts == {"red": 1, "green": 1}


def test_the_tags_of_a_photo_are_told_and_can_be_taken_off(
    painted: Library, encoder: Encoder, labels: Labels, photos: Path
) -> None:
    tag(painted, labels("red", "green"), encoder)
    (told,) = of(painted, photos / "red.png")
    assert told["tag"] == "red"
    assert of(painted, photos / "blue.png") == []
    assert remove(painted, ["RED"]) == 1
    assert of(painted, photos / "red.png") == []
    with pytest.raises(QueryError, match="no photo"):
        of(painted, photos / "missing.png")
    with pytest.raises(QueryError, match="'red'"):
        remove(painted, ["red"])


def test_labels_that_cannot_be_used_are_refused_and_nothing_changes(
    painted: Library, encoder: Encoder, labels: Labels, tmp_path: Path
) -> None:
    tag(painted, labels("red"), encoder)
    for lines, problem in (
        (("green", "Other"), "take that line out"),
        (("", " "), "empty"),
    ):
        with pytest.raises(QueryError, match=problem):
            tag(painted, labels(*lines), encoder)
    with pytest.raises(QueryError, match="cannot be read"):
        tag(painted, tmp_path / "none.txt", encoder)
    with painted.lock(), Library.open(painted.path, readonly=False) as second, pytest.raises(LibraryLocked):
        tag(second, labels("green"), encoder)
    assert painted.catalog.tags.counts() == {"red": 1}


def test_a_library_without_tags_lists_none(painted: Library) -> None:
    assert counts(painted) == []


def test_the_summary_names_labels_that_fit_nothing() -> None:
    said = tags.summary(tags.Tagging(10, {"dog": 4, "pizza": 0}, 6))
    assert said == "4 of 10 photos tagged, the other 6 fit none of the labels; no photo fits pizza"

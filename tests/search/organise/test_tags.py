"""Tagging photos of colours: labels win where they fit, "other" wins where none does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from painting import held, paint

from indexer import Encoder, Library, index_sources
from indexer.encoders import unit_rows
from indexer.errors import LibraryLocked, QueryError
from search import Engine, Filter, parse
from search.filters import negated
from search.organise import tags
from search.organise.tags import RIVALS, SYNONYM, TEMPERATURE, Labeller, counts, of, remove, tag
from search.organise.vocabulary import Vocabulary, embed_words

# Each colour as often as there are rivals, so that the one that counts is of the photo's own colour.
COLORS = ("red", "green", "blue", "yellow", "cyan", "magenta", "white")
WORDS = tuple(f"{color}{more}" for color in COLORS for more in ("", " sea", " thing"))

Labels = Callable[..., Path]


@pytest.fixture
def words(encoder: Encoder) -> Vocabulary:
    return Vocabulary(WORDS, embed_words(encoder, WORDS))


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


def test_photos_bear_the_labels_that_fit_and_no_others(
    painted: Library, encoder: Encoder, words: Vocabulary, labels: Labels
) -> None:
    tagging = tag(painted, labels("red", "a green thing", ""), encoder, words)
    assert (tagging.photos, tagging.other) == (4, 2)
    assert tagging.counts == {"red": 1, "a green thing": 1}
    ids = {path.stem: id for path, id in held(painted).items()}
    assert list(painted.catalog.tags.of(ids["red"])) == ["red"]
    assert 0.5 <= painted.catalog.tags.of(ids["red"])["red"] <= 1


def test_a_tag_filters_and_other_is_what_bears_none(
    painted: Library, encoder: Encoder, words: Vocabulary, labels: Labels
) -> None:
    tag(painted, labels("red", "green"), encoder, words)
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
    painted: Library, encoder: Encoder, words: Vocabulary, labels: Labels, photos: Path
) -> None:
    tag(painted, labels("red"), encoder, words)
    tag(painted, labels("green"), encoder, words)
    paint(photos / "rouge.png", (250, 0, 0))
    (photos / "green.png").unlink()
    index_sources(painted, [photos], encoder)
    tag(painted, labels("red", "green"), encoder, words)
    assert painted.catalog.tags.counts() == {"red": 2}
    assert counts(painted) == [{"tag": "red", "photos": 2}, {"tag": "other", "photos": 2}]


def test_a_label_that_is_there_twice_counts_once_and_as_it_was_first_written(
    painted: Library, encoder: Encoder, words: Vocabulary, labels: Labels
) -> None:
    assert tag(painted, labels("red", "Red", "green"), encoder, words).counts == {"red": 1, "green": 1}


def test_probabilities_are_those_of_the_definition() -> None:
    draw = np.random.default_rng(0)
    rows, names, others = (unit_rows(draw.normal(size=(n, 8))) for n in (5, 3, 40))
    others[:2] = unit_rows(names[:2] + 0.1 * others[:2])  # near to a label: no rivals
    found = Labeller(names, Vocabulary(("",) * 40, others)).probabilities(rows)
    for photo in range(5):
        rivals = sorted(rows[photo] @ other for other in others if max(names @ other) < SYNONYM)
        for label in range(3):
            lead = rows[photo] @ names[label] - rivals[-RIVALS]
            assert found[photo, label] == pytest.approx(1 / (1 + np.exp(-lead / TEMPERATURE)), rel=1e-4)


def test_the_tags_of_a_photo_are_told_and_can_be_taken_off(
    painted: Library, encoder: Encoder, words: Vocabulary, labels: Labels, photos: Path
) -> None:
    tag(painted, labels("red", "green"), encoder, words)
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
    painted: Library, encoder: Encoder, words: Vocabulary, labels: Labels, tmp_path: Path
) -> None:
    tag(painted, labels("red"), encoder, words)
    for lines, problem in (
        (("green", "Other"), "take that line out"),
        (("", " "), "empty"),
    ):
        with pytest.raises(QueryError, match=problem):
            tag(painted, labels(*lines), encoder, words)
    with pytest.raises(QueryError, match="cannot be read"):
        tag(painted, tmp_path / "none.txt", encoder, words)
    with painted.lock(), Library.open(painted.path, readonly=False) as second, pytest.raises(LibraryLocked):
        tag(second, labels("green"), encoder, words)
    assert painted.catalog.tags.counts() == {"red": 1}


def test_a_library_without_tags_lists_none(painted: Library) -> None:
    assert counts(painted) == []


def test_the_summary_names_labels_that_fit_nothing() -> None:
    said = tags.summary(tags.Tagging(10, {"dog": 4, "pizza": 0}, 6))
    assert said == "4 of 10 photos tagged, the other 6 fit none of the labels; no photo fits pizza"

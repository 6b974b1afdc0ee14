"""Groups of photos of colours: what belongs together, what it is called, and that it is the same each time."""

from pathlib import Path

import numpy as np
import pytest
from painting import paint
from sklearn.metrics import adjusted_rand_score

from indexer import Encoder, Library, Vectors, index_sources
from indexer.encoders import unit_rows
from indexer.errors import QueryError
from search.organise.groups import all_vectors, groups, rows
from search.organise.vocabulary import Vocabulary
from search.prompt_templates import embed_texts

COLORS = ("red", "green", "blue", "yellow", "a blue sea", "a red rose")


@pytest.fixture
def words(encoder: Encoder) -> Vocabulary:
    return Vocabulary(COLORS, embed_texts(encoder, COLORS))


def nearly(color: tuple[int, int, int], number: int) -> tuple[int, int, int]:
    """Ten shades of a colour."""
    red, green, blue = (min(channel + 3 * number, 255) for channel in color)
    return red, green, blue


@pytest.fixture
def painted(library: Library, encoder: Encoder, photos: Path) -> Library:
    for number in range(10):
        paint(photos / f"red{number}.png", nearly((225, 0, 0), number))
        paint(photos / f"blue{number}.png", nearly((0, 0, 225), number))
        if number < 5:
            paint(photos / f"green{number}.png", nearly((0, 225, 0), number))
    index_sources(library, [photos], encoder)
    return library


def test_photos_that_are_alike_are_one_group_and_named_for_it(painted: Library, words: Vocabulary) -> None:
    found = groups(all_vectors(painted), words, 3)
    assert [len(group.ids) for group in found] == [10, 10, 5]
    named = {
        group.words[0]: {item.path.stem[:-1] for item in painted.catalog.items(group.ids.tolist())} for group in found
    }
    assert named in (
        {"red": {"red"}, "blue": {"blue"}, "green": {"green"}},
        {"a red rose": {"red"}, "a blue sea": {"blue"}, "green": {"green"}},
    )


def test_no_two_groups_begin_with_the_same_word(painted: Library, words: Vocabulary) -> None:
    found = groups(all_vectors(painted), words, 6)
    assert len({group.words[0] for group in found}) == len(found) > 3


def test_where_there_are_more_groups_than_words_each_still_has_a_name(painted: Library, encoder: Encoder) -> None:
    two = Vocabulary(("red", "blue"), embed_texts(encoder, ("red", "blue")))
    assert all(group.words for group in groups(all_vectors(painted), two, 5))


def test_groups_are_the_same_each_time_and_those_that_were_put_in() -> None:
    draw = np.random.default_rng(3)
    truth = np.repeat(np.arange(6), 50)
    points = unit_rows(draw.normal(size=(6, 32))[truth] + 0.5 * draw.normal(size=(300, 32)) / np.sqrt(32))
    vectors = Vectors(np.arange(300), points)
    words = Vocabulary(("one", "two"), unit_rows(draw.normal(size=(2, 32))))
    first, second = (groups(vectors, words, 6) for _ in range(2))
    assert all(a.words == b.words and (a.ids == b.ids).all() for a, b in zip(first, second, strict=True))
    found = np.empty(300, int)
    for number, group in enumerate(first):
        found[group.ids] = number
    assert adjusted_rand_score(truth, found) == 1


def test_the_most_typical_photo_comes_first(painted: Library, words: Vocabulary) -> None:
    vectors = all_vectors(painted)
    (group,) = groups(vectors, words, 1)
    middle = unit_rows(vectors.rows.mean(axis=0))
    assert group.ids[0] == vectors.ids[(vectors.rows @ middle).argmax()]


def test_groups_as_rows_name_one_photo_or_all(painted: Library, words: Vocabulary, photos: Path) -> None:
    found = groups(all_vectors(painted), words, 3)
    short, long = (rows(painted, found, members=members) for members in (False, True))
    assert [row["photos"] for row in short] == [10, 10, 5]
    assert sorted(path for row in long for path in row["paths"]) == sorted(map(str, photos.iterdir()))
    assert all(str(one["typical"]) == all_of["paths"][0] for one, all_of in zip(short, long, strict=True))


def test_a_library_of_one_photo_is_one_group_and_an_empty_one_is_refused(
    library: Library, encoder: Encoder, photos: Path, words: Vocabulary
) -> None:
    with pytest.raises(QueryError, match="holds no photo"):
        all_vectors(library)
    paint(photos / "red.png", "red")
    index_sources(library, [photos], encoder)
    assert [len(group.ids) for group in groups(all_vectors(library), words, 9)] == [1]
    with pytest.raises(QueryError, match="at least 1"):
        groups(all_vectors(library), words, 0)

"""Tags in the catalog: stored all at once, gone with their items."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from painting import held, paint

from indexer import Encoder, Library, index_sources
from indexer.storage import migrations
from indexer.storage.catalog import Catalog
from indexer.storage.tags import Tag


@pytest.fixture
def ids(library: Library, encoder: Encoder, photos: Path) -> dict[str, int]:
    for color in ("red", "green", "blue"):
        paint(photos / f"{color}.png", color)
    index_sources(library, [photos], encoder)
    return {path.stem: id for path, id in held(library).items()}


def test_tags_are_counted_and_told_of_an_item_with_their_probabilities(library: Library, ids: dict[str, int]) -> None:
    tags = library.catalog.tags
    tags.replace(
        ["warm", "sea"], [Tag(ids["red"], "warm", 0.9), Tag(ids["blue"], "sea", 0.7), Tag(ids["blue"], "warm", 0.6)]
    )
    assert tags.counts() == {"warm": 2, "sea": 1}
    assert list(tags.of(ids["blue"]).items()) == [("sea", 0.7), ("warm", 0.6)]
    assert tags.of(ids["green"]) == {}


def test_a_tag_is_replaced_as_a_whole_and_others_stay(library: Library, ids: dict[str, int]) -> None:
    tags = library.catalog.tags
    tags.replace(["warm"], [Tag(ids["red"], "warm", 0.9), Tag(ids["blue"], "warm", 0.6)])
    tags.replace(["sea"], [Tag(ids["blue"], "sea", 0.7)])
    tags.replace(["WARM"], [Tag(ids["green"], "WARM", 0.8)])
    assert tags.counts() == {"WARM": 1, "sea": 1}
    tags.replace(["warm"], [])
    assert tags.counts() == {"sea": 1}


def test_what_fails_half_way_changes_nothing(library: Library, ids: dict[str, int]) -> None:
    tags = library.catalog.tags
    tags.replace(["warm"], [Tag(ids["red"], "warm", 0.9)])

    def found() -> Iterator[Tag]:
        yield Tag(ids["blue"], "warm", 0.9)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tags.replace(["warm"], found())
    assert tags.of(ids["red"]) == {"warm": 0.9}


def test_tags_go_with_their_items(library: Library, ids: dict[str, int], photos: Path) -> None:
    library.catalog.tags.replace(["warm"], [Tag(ids["red"], "warm", 0.9), Tag(ids["blue"], "warm", 0.6)])
    library.remove(photos / "red.png")
    assert library.catalog.tags.counts() == {"warm": 1}


def test_tags_stay_with_a_photo_that_is_moved_and_leave_one_that_is_changed(
    library: Library, ids: dict[str, int], photos: Path, encoder: Encoder
) -> None:
    library.catalog.tags.replace(["warm"], [Tag(ids["red"], "warm", 0.9), Tag(ids["blue"], "warm", 0.6)])
    (photos / "red.png").rename(photos / "rouge.png")
    paint(photos / "blue.png", "yellow")
    index_sources(library, [photos], encoder)
    assert library.catalog.tags.of(held(library)[photos / "rouge.png"]) == {"warm": 0.9}
    assert library.catalog.tags.counts() == {"warm": 1}


def test_a_reader_of_a_library_from_before_there_were_tags_finds_it_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "catalog.sqlite3"
    with monkeypatch.context() as before:
        before.setattr("indexer.storage.migrations.STEPS", migrations.STEPS[:2])
        Catalog(path).close()
    reader = Catalog(path, readonly=True)
    assert reader.tags.counts() == {}
    reader.close()


def test_items_get_a_tag_beside_those_they_bear_and_lose_it_again(library: Library, ids: dict[str, int]) -> None:
    tags = library.catalog.tags
    tags.replace(["warm"], [Tag(ids["red"], "warm", 0.9)])
    tags.add("Warm", [ids["red"], ids["blue"], 4711])
    tags.add("sea", [ids["blue"]])
    assert tags.of(ids["red"]) == {"warm": 0.9}
    assert tags.of(ids["blue"]) == {"Warm": 1, "sea": 1}
    tags.take_off("WARM", [ids["blue"], ids["green"]])
    assert tags.counts() == {"sea": 1, "warm": 1}

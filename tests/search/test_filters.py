"""What filters let through, compared with what is known of the photos."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_photos import with_exif
from PIL import Image, ImageOps

from indexer import Item, Library, index_sources
from indexer.errors import QueryError
from indexer.storage import migrations
from indexer.storage.catalog import Catalog
from indexer.testing import color_encoder
from search import Engine, Filter, parse
from search.filters import COLOURS, FIELDS, kilometres, negated, to_sql
from search.query import ORDERS

BERLIN, POTSDAM, SYDNEY = (52.52, 13.405), (52.39, 13.06), (-33.87, 151.21)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "trip" / "day 2").mkdir(parents=True)
    (folder / "trip2").mkdir()
    canon, nikon = {"make": "Canon", "camera": "Canon EOS R5"}, {"make": "NIKON CORPORATION", "camera": "NIKON D750"}
    _photo(folder / "trip" / "a.jpg", datetime(2023, 5, 17, 12), canon, BERLIN)
    _photo(folder / "trip" / "day 2" / "b.jpg", datetime(2023, 12, 31, 23, 59, 59), canon, POTSDAM)
    _photo(folder / "trip2" / "c.JPG", datetime(2024, 1, 1), nikon, SYDNEY)
    Image.new("RGB", (30, 90), "red").save(folder / "d.png")
    (folder / "trip2" / "captions.jsonl").write_text('{"image": "../trip/a.jpg", "caption": "a cat on a trip"}\n')
    (folder / "d.txt").write_text("a red tower")
    written = datetime(2020, 2, 29, 8).timestamp()
    os.utime(folder / "d.png", (written, written))
    encoder = color_encoder()
    with Library.create(tmp_path_factory.mktemp("library"), encoder) as library:
        report = index_sources(library, [folder], encoder)
        assert not report.failures
        yield Engine(library, encoder)


# What each order compares, by the slow way.
KEYS: dict[str, Callable[[Item], Any]] = {
    "date": lambda item: item.facts.get("taken") or item.facts["modified"],
    "name": lambda item: item.path.name.lower(),
    "path": lambda item: str(item.path),
    "size": lambda item: item.path.stat().st_size,
}


def _photo(path: Path, taken: datetime, camera: dict[str, str], place: tuple[float, float]) -> None:
    with_exif(path, taken=taken, lens="RF 50mm F1.8", latitude=place[0], longitude=place[1], **camera)


def found(engine: Engine, *filters: Filter) -> str:
    """The first letters of the photos that are found, by path."""
    hits = engine.search(parse("anything", filters=filters, k=100))
    return "".join(path.name[0] for path in sorted(hit.item.path for hit in hits))


@pytest.mark.parametrize(
    ("field", "value", "photos"),
    [
        ("on", "2023", "ab"),
        ("on", "2023-12", "b"),
        ("on", "May 2023", "a"),
        ("on", "2023..2024", "abc"),
        ("on", "since 2024", "c"),
        ("on", "2023-5-17", "a"),
        ("after", "2023-12-31", "bc"),
        ("after", "2024", "c"),
        ("before", "2024", "dab"),
        ("before", "2023-12-31", "da"),
        ("on", "2020-02-29", "d"),  # no camera said when: the file's own date
        ("camera", "canon", "ab"),
        ("camera", "D750", "c"),
        ("camera", "100%", ""),
        ("lens", "50mm", "abc"),
        ("near", "52.52,13.405", "a"),
        ("near", "52.52,13.405,50", "ab"),
        ("near", "Berlin", "a"),
        ("near", "berlin, 50 km", "ab"),
        ("near", "Potsdam 5 km", "b"),
        ("place", "Berlin", "a"),
        ("place", "Deutschland", "ab"),
        ("place", "sydney", "c"),
        ("near", "-33.9, 151.2, 20", "c"),
        ("type", "jpeg", "abc"),
        ("type", ".PNG", "d"),
        ("path", "*.JPG", "c"),
        ("path", "*/day 2/*", "b"),
        ("path", "[ab].jpg", "ab"),
        ("path", "t*.jpg", ""),  # nor do they for "tmp/..." or "test_...", the folders above
        ("min-width", "31", "abc"),
        ("min-height", "90", "dabc"),
        ("orientation", "portrait", "d"),
        ("orientation", "landscape", "abc"),
        ("orientation", "square", ""),
        ("has-caption", "", "ad"),
    ],
)
def test_a_filter_lets_through_what_it_says_and_its_negation_the_others(
    engine: Engine, field: str, value: str, photos: str
) -> None:
    assert set(found(engine, Filter(field, value))) == set(photos)
    assert set(found(engine, Filter(field, value, negated=True))) == set("abcd") - set(photos)


def test_a_folder_is_itself_and_what_lies_below_but_no_neighbour(engine: Engine) -> None:
    (root,) = engine.library.catalog.files.roots()
    assert found(engine, Filter("in", str(root / "trip"))) == "ab"
    assert found(engine, Filter("in", f"{root / 'trip'}/")) == "ab"
    assert set(found(engine, Filter("in", str(root)))) == set("abcd")
    assert found(engine, Filter("in", "/nowhere")) == ""


def test_a_folder_does_not_let_through_the_one_that_sorts_right_behind_it(tmp_path: Path) -> None:
    encoder = color_encoder()
    for name in ("a", "a0"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (9, 9), "red").save(tmp_path / name / f"{name}.png")
    with Library.create(tmp_path / "library", encoder) as library:
        index_sources(library, [tmp_path / "a", tmp_path / "a0"], encoder)
        hits = Engine(library, encoder).search(parse("red", filters=[Filter("in", str(tmp_path / "a"))]))
        assert [hit.item.path.name for hit in hits] == ["a.png"]


def test_photos_without_colours_are_told_from_others_and_counted(tmp_path: Path) -> None:
    encoder = color_encoder()
    grey = Image.linear_gradient("L").resize((64, 48))
    tones = {"grey": "white", "sepia": (255, 222, 173), "full": "red"}
    for name, light in tones.items():
        photo = ImageOps.colorize(grey, "black", light)
        if name == "full":
            photo.paste("blue", (8, 8, 24, 24))
        photo.save(tmp_path / f"{name}.png")
    with Library.create(tmp_path / "library", encoder) as library:
        index_sources(library, [tmp_path], encoder)
        engine = Engine(library, encoder)
        assert engine.facets()["colour"] == {"black-and-white": 1, "full": 1, "sepia": 1}
        for value, name in zip(COLOURS, ("grey", "sepia", "full"), strict=True):
            (hit,) = engine.browse(filters=[Filter("colour", value)])
            assert hit.item.path.name == f"{name}.png"
        without = engine.browse(filters=[Filter("colour", "black-and-white", negated=True)])
        assert {hit.item.path.stem for hit in without} == {"sepia", "full"}


def test_different_filters_must_all_hold_and_equal_ones_are_alternatives(engine: Engine) -> None:
    assert found(engine, Filter("camera", "canon"), Filter("on", "2023-05")) == "a"
    assert found(engine, Filter("camera", "canon"), Filter("camera", "nikon")) == "abc"
    assert found(engine, negated("camera=canon"), negated("camera=nikon")) == "d"
    assert found(engine, Filter("on", "2023"), negated("path=*/day 2/*")) == "a"


def test_filtered_scores_and_order_are_those_of_an_unfiltered_search(engine: Engine) -> None:
    everything = engine.search(parse("red", k=100))
    allowed = [hit for hit in everything if hit.item.path.suffix == ".jpg"]
    assert engine.search(parse("red", k=100, filters=(Filter("path", "*.jpg"),))) == allowed
    assert engine.search(parse("red", k=1, filters=(Filter("path", "*.jpg"),))) == allowed[:1]


def test_hits_come_in_the_order_that_is_asked_for(engine: Engine) -> None:
    fitting = {hit.item.path.name for hit in engine.search(parse("red", relevant=True))}
    assert fitting
    for order, key in KEYS.items():
        for descending in (False, True):
            hits = engine.search(parse("red", sort="-" * descending + order))
            assert {hit.item.path.name for hit in hits} == fitting
            assert hits == sorted(hits, key=lambda hit: key(hit.item), reverse=descending)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_without_a_question_all_come_in_an_order(engine: Engine, order: str, descending: bool) -> None:
    items = [hit.item for hit in engine.browse(sort="-" * descending + order)]
    assert {item.path.name[0] for item in items} == set("abcd")
    assert items == sorted(items, key=KEYS[order], reverse=descending)


def test_browsing_takes_filters_and_pages(engine: Engine) -> None:
    assert [hit.item.path.name for hit in engine.browse()] == ["c.JPG", "b.jpg", "a.jpg", "d.png"]
    assert [hit.item.path.name for hit in engine.browse(start=1, k=2)] == ["b.jpg", "a.jpg"]
    assert [hit.item.path.name for hit in engine.browse(filters=[Filter("camera", "canon")])] == ["b.jpg", "a.jpg"]
    assert engine.browse(start=9) == []
    assert engine.browse("text")[0].item.text
    assert all(hit.score is None for hit in engine.browse())
    with pytest.raises(QueryError, match="Only answers to a question are sorted by relevance"):
        engine.browse(sort="relevance")


def test_facets_count_what_filters_of_their_names_let_through(engine: Engine) -> None:
    facets = engine.facets()
    assert facets["camera"] == {"Canon EOS R5": 2, "NIKON D750": 1}
    assert facets["type"] == {"jpg": 3, "png": 1}
    assert facets["place"] == {"Berlin, Germany": 1, "Potsdam, Germany": 1, "Sydney, Australia": 1}
    assert list(facets["on"].items()) == [("2024-01", 1), ("2023-12", 1), ("2023-05", 1), ("2020-02", 1)]
    for field, counts in facets.items():
        for value, count in counts.items():
            items = [hit.item for hit in engine.browse(filters=[Filter(field, value)])]
            inside = [item for item in items if field != "in" or item.path.parent == Path(value)]
            assert len(inside) == count
    assert engine.facets(filters=[Filter("on", "2023")])["type"] == {"jpg": 2}
    assert engine.facets("text")["camera"] == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("on", "someday"),
        ("on", "2023-13"),
        ("after", "2023-02-30"),
        ("near", "52.5"),
        ("near", "91,0"),
        ("near", "1,2,3,4"),
        ("min-width", "wide"),
        ("orientation", "round"),
        ("colour", "green"),
        ("type", "*"),
        ("camera", " "),
    ],
)
def test_a_value_of_another_form_is_refused_with_the_forms_that_are_accepted(field: str, value: str) -> None:
    with pytest.raises(QueryError, match="give") as refused:
        Filter(field, value)
    assert FIELDS[field].forms in str(refused.value)


def test_an_unknown_field_or_order_is_refused_with_those_there_are() -> None:
    with pytest.raises(QueryError, match="camera"):
        Filter("flavour", "red")
    with pytest.raises(QueryError, match="relevance, date"):
        parse("red", sort="beauty")


def test_distances_are_those_of_the_globe() -> None:
    assert kilometres(*BERLIN, *POTSDAM) == pytest.approx(27.5, abs=0.5)
    assert kilometres(*BERLIN, *SYDNEY) == pytest.approx(16_090, rel=0.01)
    assert kilometres(0, 179.9, 0, -179.9) == pytest.approx(22.24, abs=0.01)
    assert kilometres(None, None, *BERLIN) is None
    assert not np.isnan(kilometres(90, 0, -90, 0) or np.nan)


@pytest.mark.parametrize(
    ("filter", "index"),
    [
        (Filter("camera", "canon"), "items_by_camera"),
        (Filter("after", "2023"), "items_by_day"),
        (Filter("before", "2023-05"), "items_by_day"),
        (Filter("on", "2023-05-17"), "items_by_day"),
    ],
)
def test_cameras_and_days_are_looked_up_and_not_looked_through(filter: Filter, index: str, engine: Engine) -> None:
    sql, values = to_sql([filter])
    plan = engine.library.catalog.connection.execute(
        f"EXPLAIN QUERY PLAN SELECT items.id FROM items WHERE items.modality = ? AND {sql}", ("image", *values)
    ).fetchall()
    told = " ".join(row[3] for row in plan)
    assert re.search(rf"SEARCH items USING (COVERING )?INDEX {index}", told)
    assert "SCAN items" not in told


@pytest.mark.parametrize("value", ["0001", "1969-12-31", "9998-12"])
def test_days_that_no_clock_of_files_reaches_are_no_trouble(value: str, engine: Engine) -> None:
    for field in ("on", "after", "before"):
        engine.library.catalog.ids("image", *to_sql([Filter(field, value)]))


@pytest.mark.parametrize("filter", [Filter("tag", "x"), Filter("in", "/photos"), Filter("has-caption")])
def test_no_index_of_days_is_taken_where_another_is_better(filter: Filter, engine: Engine) -> None:
    sql, values = to_sql([filter])
    joins = "JOIN files ON files.id = file_id JOIN folders ON folders.id = folder_id" if "path" in sql else ""
    plan = engine.library.catalog.connection.execute(
        f"EXPLAIN QUERY PLAN SELECT items.id FROM items {joins} WHERE items.modality = ? AND {sql}", ("image", *values)
    ).fetchall()
    assert not [row[3] for row in plan if "items_by_day" in row[3]]


def test_the_day_of_a_photo_without_a_date_follows_its_file(tmp_path: Path) -> None:
    encoder = color_encoder()
    _photo(tmp_path / "a.jpg", datetime(2023, 5, 17, 23, 59, 59), {}, BERLIN)
    Image.new("RGB", (9, 9), "red").save(tmp_path / "b.png")
    with Library.create(tmp_path / "library", encoder) as library:
        engine = Engine(library, encoder)
        for year in (2019, 2021):
            for path in tmp_path.glob("*.*g"):  # the last moment of a day here
                os.utime(path, (datetime(year, 7, 1, 23, 59, 59).timestamp(),) * 2)
            index_sources(library, [tmp_path], encoder)
            assert found(engine, Filter("on", f"{year}-07-01")) == "b"
            assert found(engine, Filter("on", "2023-05-17")) == "a"
            assert found(engine, Filter("before", f"{year}-07-01")) == ""
        _photo(tmp_path / "b.png", datetime(2022, 1, 1), {}, BERLIN)
        index_sources(library, [tmp_path], encoder)
        assert found(engine, Filter("on", "2022")) == "b"


def test_a_catalog_from_before_days_had_a_column_is_filtered_as_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        steps = migrations.STEPS[: migrations.STEPS.index(migrations.BY_COLUMNS)]
        before.setattr("indexer.storage.migrations.STEPS", steps)
        catalog = Catalog(tmp_path / "catalog.sqlite3")
        written = int(datetime(2020, 2, 29, 8).timestamp()) * 10**9
        catalog.connection.executescript(
            "INSERT INTO folders VALUES (1, '/photos');"
            f"INSERT INTO files VALUES (1, 1, 'a.jpg', 'image', 9, {written}, NULL, NULL),"
            f" (2, 1, 'b.jpg', 'image', 9, {written}, NULL, NULL);"
            "INSERT INTO items VALUES (1, 1, 'image', '', '', '{\"taken\":\"2023-05-17T12:00:00\",\"camera\":\"X\"}'),"
            " (2, 2, 'image', '', '', '{}');"
        )
        catalog.close()
    with closing(Catalog(tmp_path / "catalog.sqlite3", readonly=True)) as catalog:
        for field, value, ids in (("on", "2023-05", [1]), ("on", "2020-02-29", [2]), ("camera", "x", [1])):
            assert catalog.ids("image", *to_sql([Filter(field, value)])).tolist() == ids


@pytest.mark.parametrize("field", ["near", "place"])
def test_a_place_that_is_not_known_is_answered_with_those_spelt_nearly_so(field: str) -> None:
    with pytest.raises(QueryError, match=r"'Berln'.*Berlin"):
        Filter(field, "Berln")

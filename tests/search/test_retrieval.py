"""Photos and shots of films: one list by their cosines, compared with all vectors sorted."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from indexer import Encoder, Library
from indexer.encoders.base import unit_rows
from indexer.errors import QueryError
from indexer.items import Item, Source
from search import Engine, Filter, Hit, parse


@pytest.fixture
def filmed(library: Library) -> Library:
    """Photos and shots of films, their vectors all told apart, as the indexer would store them."""
    rng = np.random.default_rng(3)
    rows = unit_rows(rng.normal(size=(60, 4)).astype(np.float32))
    with library.catalog.atomic() as revision:
        for number, row in enumerate(rows):
            modality = "video" if number % 3 == 0 else "image"
            place = Path(f"/pictures/{number:02}.{'mp4' if modality == 'video' else 'jpg'}")
            source = Source(place, modality, 1, 1)
            file_id = library.catalog.files.put(source)
            part = "t1.5" if modality == "video" else ""
            facts = {"taken": f"2023-01-{number % 28 + 1:02}T10:00:00", "camera": "one" if number % 2 else "two"}
            library.catalog.put_items(file_id, [Item(modality, place, part, facts=facts)], row[np.newaxis], revision)
            library.catalog.files.complete(file_id, source)
    return library


def shares(hits: Sequence[Hit]) -> set[str]:
    return {hit.item.modality for hit in hits}


def test_photos_and_films_are_one_list_by_their_cosines(filmed: Library, encoder: Encoder) -> None:
    engine = Engine(filmed, encoder)
    hits = engine.search(parse("red", k=60))
    assert (len(hits), shares(hits)) == (60, {"image", "video"})
    ids = np.array(filmed.catalog.all_ids())
    cosines = filmed.catalog.vectors(ids.tolist()).rows @ engine.embed([parse("red")])[0]
    assert [hit.id for hit in hits] == ids[np.lexsort((ids, -cosines))].tolist()
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for modality, count in (("image", 40), ("video", 20)):
        assert shares(alone := engine.search(parse("red", wanted=modality, k=60))) == {modality}
        assert [hit.id for hit in alone] == [hit.id for hit in hits if hit.item.modality == modality]
        assert len(alone) == count


@pytest.mark.parametrize(
    "ways",
    [
        {"filters": (Filter("camera", "one"),)},
        {"unique": True},
        {"diverse": True},
        {"sort": "-date", "fits": "loosely"},
        {"relevant": True, "fits": "loosely"},
        {"by_words": True},
    ],
)
def test_what_is_asked_of_an_answer_is_asked_of_both(
    filmed: Library, encoder: Encoder, ways: dict[str, object]
) -> None:
    engine = Engine(filmed, encoder)
    for question in ("red", "red -blue", "red blue jpg"):
        hits = engine.search(parse(question, k=60, **ways))
        assert len({hit.id for hit in hits}) == len(hits)
        assert hits == [] or shares(hits) <= {"image", "video"}
        if "filters" in ways:
            assert [hit.item.facts["camera"] for hit in hits] == ["one"] * 30
    assert shares(engine.search(parse("red", k=60))) == {"image", "video"}


def test_both_are_listed_and_counted_together(filmed: Library, encoder: Encoder) -> None:
    engine = Engine(filmed, encoder)
    listed = [hit.item for hit in engine.browse()]
    assert len(listed) == 60
    assert [item.facts["taken"] for item in listed] == sorted((item.facts["taken"] for item in listed), reverse=True)
    assert engine.facets()["camera"] == {"one": 30, "two": 30}
    assert engine.facets()["type"] == {"jpg": 40, "mp4": 20}
    assert engine.facets("video")["type"] == {"mp4": 20}


def test_what_lies_on_other_scales_is_no_part_of_one_list(filmed: Library, encoder: Encoder) -> None:
    with pytest.raises(QueryError, match="image and text cannot be one list"):
        Engine(filmed, encoder).search(parse("red", wanted="image,text"))
    with pytest.raises(QueryError, match="'smell' cannot be looked for"):
        Engine(filmed, encoder).search(parse("red", wanted="image,smell"))

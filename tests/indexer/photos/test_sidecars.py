"""Which files tell about which photo, and what they tell."""

import json
import time
from pathlib import Path

import pytest

from indexer.photos.sidecars import sidecar_facts, sidecar_owners

LONG = "a-photo-whose-name-is-so-long-that-takeout-cuts-it.jpg"


@pytest.mark.parametrize(
    ("sidecar", "photo"),
    [
        ("a.jpg.json", "a.jpg"),
        ("a.jpg.supplemental-metadata.json", "a.jpg"),
        ("a.jpg.supplemental-meta.json", "a.jpg"),
        ("a.jpg.s.json", "a.jpg"),
        ("A.JPG.JSON", "a.jpg"),
        ("a.jpg(1).json", "a(1).jpg"),
        ("a.jpg.supplemental-metadata(1).json", "a(1).jpg"),
        ("a.jpg.json", "a-edited.jpg"),
        (f"{LONG[:46]}.json", LONG),
        ("a.xmp", "a.jpg"),
        ("a.XMP", "a.jpg"),
        ("a.jpg.xmp", "a.jpg"),
    ],
)
def test_a_sidecar_is_known_by_its_name(sidecar: str, photo: str) -> None:
    assert sidecar_owners({"b.jpg", "notes.txt", sidecar, photo}) == {sidecar: {photo}}


def test_other_json_is_no_sidecar_but_that_of_a_film_or_of_a_photo_that_is_gone_is() -> None:
    assert sidecar_owners(["captions.json", "a.json", "a.jpg", "annotations.v2.json"]) == {}
    assert sidecar_owners(["a.mp4.json", "gone.jpg.json"]) == {"a.mp4.json": set(), "gone.jpg.json": set()}


def test_takeout_tells_date_place_description_and_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg.json"
    document = {
        "title": "a.jpg",
        "description": "Minka at home",
        "photoTakenTime": {"timestamp": "1683203409", "formatted": "04.05.2023, 12:30:09 UTC"},
        "geoData": {"latitude": 0.0, "longitude": 0.0},
        "geoDataExif": {"latitude": 52.5, "longitude": -13.4},
        "people": [{"name": "Anna"}],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        facts = sidecar_facts(path)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert facts == {
        "taken": "2023-05-04T21:30:09",
        "latitude": 52.5,
        "longitude": -13.4,
        "description": "Minka at home",
        "keywords": ["Anna"],
    }


@pytest.mark.parametrize(
    "document",
    [
        *("", "[]", "null", "{", "[" * 100_000, "{}"),
        '{"photoTakenTime": 3, "geoData": [], "people": 3, "description": 3}',
        '{"photoTakenTime": {"timestamp": "1e300"}}',
    ],
)
def test_a_json_of_another_kind_tells_nothing(document: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg.json").write_text(document, encoding="utf-8")
    assert sidecar_facts(tmp_path / "a.jpg.json") == {}


def test_a_file_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    assert sidecar_facts(tmp_path / "a.xmp") == {}

"""The library at a glance, tags, downloads, indexing from the page, and what the server tells of itself."""

from __future__ import annotations

import io
import json
import os
import shutil
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
from painting import WatchedEncoder, paint, paint_many
from starlette.testclient import TestClient

from indexer import Encoder, Library, index_sources
from indexer.testing import COLORS
from search.web import indexing
from search.web.app import create_app
from search.web.guard import Guard
from search.web.service import Service
from search.web.telemetry import Metrics, Telemetry

ADDRESS = "http://127.0.0.1:7700"


def ids(client: TestClient) -> dict[str, int]:
    items = client.get("/api/items", params={"limit": 500}).json()["items"]
    return {Path(item["path"]).stem: item["id"] for item in items}


def test_groups_hold_every_photo_once(client: TestClient) -> None:
    groups = client.get("/api/groups", params={"number": 3}).json()["groups"]
    assert sorted(id for group in groups for id in group["ids"]) == sorted(ids(client).values())
    assert [group["photos"] for group in groups] == [len(group["ids"]) for group in groups]


def test_the_map_has_a_place_for_every_photo(client: TestClient) -> None:
    pytest.importorskip("sklearn", reason="a map needs scikit-learn")
    told = client.get("/api/map").json()
    assert {id for id, *_ in told["photos"]} == set(ids(client).values())
    assert all(0 <= x <= 1 and 0 <= y <= 1 and group < len(told["groups"]) for _, x, y, group in told["photos"])


def test_duplicates_are_told_side_by_side_and_nothing_is_changed(
    client: TestClient, library: Library, encoder: Encoder, photos: Path
) -> None:
    shutil.copy(photos / "red.png", photos / "red again.png")
    index_sources(library, [photos], encoder)
    told = {
        Path(one["path"]).stem: group
        for group in client.get("/api/duplicates").json()["groups"]
        for one in [group["best"], *group["others"]]
    }
    assert told["red"] == told["red again"]
    assert "exact" in [one["reason"] for one in told["red"]["others"]]
    assert len(list(photos.iterdir())) == len(COLORS) + 1


def test_an_overview_is_made_once_for_a_state_of_the_library(
    client: TestClient, library: Library, encoder: Encoder, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr("search.organise.groups.groups_of", lambda *asked: made.append(asked) or [])
    for _ in range(3):
        assert client.get("/api/groups").status_code == 200
    assert len(made) == 1
    paint(photos / "new.png", (5, 6, 7))
    index_sources(library, [photos], encoder)
    client.get("/api/groups")
    assert len(made) == 2


def test_items_are_tagged_and_the_tag_taken_off_again(client: TestClient) -> None:
    known = ids(client)
    both = [known["red"], known["orange"], 4711]
    assert client.post("/api/tags", json={"tag": " warm ", "ids": both}).json() == {"tags": {"warm": 2}}
    assert client.get(f"/api/items/{known['red']}").json()["tags"] == {"warm": 1}
    found = client.get("/api/items", params={"filter": "tag=warm"}).json()
    assert {item["id"] for item in found["items"]} == set(both[:2])
    off = client.post("/api/tags", json={"tag": "Warm", "ids": both[:1], "remove": True})
    assert off.json() == client.get("/api/tags").json() == {"tags": {"warm": 1}}


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"tag": "other"}, 400),
        ({"tag": " "}, 422),
        ({"tag": "a\nb"}, 422),
        ({"tag": "\x1b[31m"}, 422),
        ({"ids": []}, 422),
    ],
)
def test_tags_that_make_no_sense_are_refused(client: TestClient, asked: dict[str, Any], status: int) -> None:
    assert client.post("/api/tags", json={"tag": "warm", "ids": [1], **asked}).status_code == status


def test_a_library_that_is_being_written_is_not_tagged(client: TestClient, library: Library) -> None:
    with library.lock():
        refused = client.post("/api/tags", json={"tag": "warm", "ids": [1]})
    assert (refused.status_code, "is being written" in refused.json()["detail"]) == (409, True)


def test_selected_photos_come_as_a_zip_with_names_of_their_own(
    client: TestClient, library: Library, encoder: Encoder, photos: Path
) -> None:
    for number, folder in enumerate(("one", "two", "three")):
        paint(photos / folder / ("Red.png" if number else "red.png"), (200 + number, 0, 0))
    os.utime(photos / "green.png", (0, 0))  # before zip files had been invented
    index_sources(library, [photos], encoder)
    known = client.get("/api/items", params={"limit": 500}).json()["items"]
    (photos / "blue.png").unlink()
    response = client.post("/api/download", data={"ids": ",".join(str(item["id"]) for item in known)})
    assert response.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len({name.casefold() for name in names}) == len(names) == len(known)
        assert archive.read("green.png") == (photos / "green.png").read_bytes()
        assert "blue.png: no such file" in archive.read("not there.txt").decode()
    assert client.post("/api/download", data={"ids": "1,../etc/passwd"}).status_code == 422


@pytest.fixture
def indexer(service: Service, encoder: Encoder, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of a server that may index the photos' folder."""
    monkeypatch.setattr(indexing, "load_encoder", lambda _: encoder)
    monkeypatch.setattr(indexing, "LOOK", 0.01)
    with TestClient(Guard(create_app(service, roots=[photos])), base_url=ADDRESS) as client:
        yield client


def events(response: Any) -> list[tuple[str, dict[str, Any]]]:
    told = [block.split("\n") for block in response.text.split("\n\n") if block]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in told]


def test_a_folder_is_indexed_from_the_page_and_its_progress_told(indexer: TestClient, photos: Path) -> None:
    paint(photos / "trip" / "new.png", (1, 2, 3))
    (photos / "trip" / "broken.jpg").write_bytes(b"no photo")
    assert indexer.get("/api/folders").json()["folders"] == [str(photos)]
    assert indexer.get("/api/folders", params={"path": str(photos)}).json()["folders"] == [str(photos / "trip")]
    told = events(indexer.post("/api/index", json={"path": str(photos / "trip")}))
    assert {name for name, _ in told} == {"progress", "failed", "end"}
    assert told[-1][1]["embedded"] == 1
    assert [data["path"] for name, data in told if name == "failed"] == [str(photos / "trip" / "broken.jpg")]
    assert "new" in ids(indexer)
    assert events(indexer.get("/api/index"))[-1] == told[-1]


@pytest.mark.parametrize(
    "place", ["..", "/", "/etc", "{photos}/../elsewhere", "{photos}/link", "{photos}/nowhere", "\0"]
)
def test_no_folder_beside_the_roots_is_looked_at_or_indexed(
    indexer: TestClient, photos: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (photos / "link").symlink_to(tmp_path / "elsewhere")
    path = place.format(photos=photos)
    for response in (
        indexer.get("/api/folders", params={"path": path}),
        indexer.post("/api/index", json={"path": path}),
    ):
        assert response.status_code == 400
        assert "not below a folder that this server may index" in response.json()["detail"]


def test_without_roots_nothing_is_indexed(client: TestClient, photos: Path) -> None:
    assert client.get("/api/folders").json() == {"folders": []}
    assert client.post("/api/index", json={"path": str(photos)}).status_code == 400


def test_a_run_is_stopped_and_what_is_done_is_kept(
    service: Service, library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_many(photos / "many", 300)
    watched, going, go = WatchedEncoder(), threading.Event(), threading.Event()
    counted = 0

    def before(_: object) -> None:
        nonlocal counted
        counted += 1
        if counted == 100:
            going.set()
            assert go.wait(30)

    watched.image.before = before  # type: ignore[attr-defined]
    monkeypatch.setattr(indexing, "load_encoder", lambda _: watched.encoder)  # type: ignore[attr-defined]
    with TestClient(Guard(create_app(service, roots=[photos])), base_url=ADDRESS) as client:
        assert client.delete("/api/index").json() == {"cancelled": False}
        thread = threading.Thread(target=lambda: client.post("/api/index", json={"path": str(photos)}))
        thread.start()
        assert going.wait(30)
        assert client.post("/api/index", json={"path": str(photos)}).status_code == 503
        assert client.delete("/api/index").json() == {"cancelled": True}
        go.set()
        thread.join()
        (*_, (name, end)) = events(client.get("/api/index"))
        assert (name, end["interrupted"]) == ("end", True)
        assert len(COLORS) <= library.catalog.count("image") < len(COLORS) + 300


def test_counters_and_lines_tell_routes_and_never_what_was_asked(service: Service) -> None:
    metrics, log, told = Metrics(), io.StringIO(), io.StringIO()
    app = Telemetry(Guard(create_app(service, metrics=metrics)), metrics, log=log)
    with TestClient(app, base_url=ADDRESS) as client:
        client.get("/api/items", params={"filter": "path=*secret*"})
        client.get("/api/items/1")
        client.get("/nowhere/secret")
        client.post("/api/search", json={"query": "secret"})
        text = client.get("/metrics").text
    assert 'descry_requests_total{method="GET",route="/api/items/{id}",status="200"} 1.0' in text
    assert 'descry_requests_total{method="none",route="none",status="404"} 1.0' in text
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["route"] for line in lines[:2]] == ["/api/items", "/api/items/{id}"]
    assert "secret" not in text + log.getvalue()
    service_log = Telemetry(Guard(create_app(service)), Metrics(), log=told, queries=True)
    TestClient(service_log, base_url=ADDRESS).get("/api/items", params={"filter": "path=*secret*"})
    assert "secret" in told.getvalue()


def test_a_contact_sheet_holds_its_pictures_and_runs_nothing(client: TestClient) -> None:
    known = ids(client)
    response = client.post("/api/sheet", data={"ids": f"{known['red']},{known['blue']}"})
    assert response.headers["content-disposition"].startswith("attachment")
    assert response.text.count("data:image/jpeg") == 2 and "<script" not in response.text
    assert client.post("/api/sheet", data={"ids": ",".join(map(str, range(1, 2003)))}).status_code == 400


def test_near_copies_are_folded_and_counted(
    client: TestClient, library: Library, encoder: Encoder, photos: Path
) -> None:
    for number in range(3):
        shutil.copy(photos / "red.png", photos / f"red {number}.png")
    index_sources(library, [photos], encoder)
    hits = client.post("/api/search", json={"query": "red", "unique": True, "judge": True}).json()["hits"]
    assert hits[0]["alike"] == 3 and sum(Path(hit["path"]).stem.startswith("red") for hit in hits) == 1


def test_a_word_that_few_names_hold_is_looked_up_and_that_is_said(
    client: TestClient, library: Library, encoder: Encoder, photos: Path
) -> None:
    paint_many(photos, 60)
    index_sources(library, [photos], encoder)
    asked = {"terms": [{"text": "cyan"}], "by_words": None, "judge": True}
    told = client.post("/api/search", json=asked).json()
    assert Path(told["hits"][0]["path"]).stem == "cyan"
    assert told["notes"] == ["“cyan”: looked up in names and captions too."] and told["fits"] != 0

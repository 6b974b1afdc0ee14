"""A library on a server is served as one in a folder: the same page, the same answers, by any number of servers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from make_photos import with_exif
from postgres_server import Server
from starlette.testclient import TestClient

from indexer import Library, index_sources
from indexer.postgres.thumbnails import PostgresThumbnails
from indexer.testing import color_encoder
from search.web.app import create_app
from search.web.guard import Guard
from search.web.service import Service

ADDRESS = "http://127.0.0.1:7700"


class Served(NamedTuple):
    """A library in a folder, the same on a server, and the address of that."""

    local: TestClient
    shared: TestClient
    other: TestClient
    photos: Path
    address: str


@pytest.fixture(scope="module")
def served(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from datetime import datetime

    from PIL import Image

    photos = tmp_path_factory.mktemp("photos")
    (photos / "trip").mkdir()
    for number, color in enumerate(("red", "blue", "green", "yellow")):
        camera = "Pixel 6" if number % 2 else "D750"
        with_exif(photos / "trip" / f"{color}.jpg", taken=datetime(2023, 5, 1 + number), camera=camera)
        Image.new("RGB", (60 + number, 40), color).save(photos / f"{color}.png")
    (photos / "red.txt").write_text("a red wall")
    shutil.copy(photos / "red.png", photos / "again.png")
    places = tmp_path_factory.mktemp("local"), postgres.database()
    encoder = color_encoder()
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        clients = []
        for place in places:
            with Library.create(place, encoder) as library:
                index_sources(library, [photos], encoder, thumbnails=True)
                library.catalog.tags.add("warm", [1, 2], 0.9)
        for place in (*places, places[1]):
            service = Service(place, encoder=encoder)
            clients.append(stack.enter_context(TestClient(Guard(create_app(service)), base_url=ADDRESS)))
        yield Served(*clients, photos, places[1])


ROUTES = [
    "/",
    "/healthz",
    "/api/items",
    "/api/items?limit=2&sort=path",
    "/api/items?filter=camera=pixel&exclude=type=png",
    "/api/items?id=3&id=1",
    "/api/items?modality=text",
    "/api/items/1",
    "/api/items/999",
    "/api/items/2/similar?k=4",
    "/api/items/3/thumbnail",
    "/api/items/3/thumbnail?size=large",
    "/api/items/3/original",
    "/api/grid?sort=name",
    "/api/facets",
    "/api/facets?filter=on=2023-05",
    "/api/suggestions?text=pix",
    "/api/tags",
    "/api/groups",
    "/api/map",
    "/api/duplicates",
]


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_answers_as_of_a_library_in_a_folder(served: Served, route: str) -> None:
    local, shared = served.local.get(route), served.shared.get(route)
    assert (shared.status_code, shared.content) == (local.status_code, local.content)


@pytest.mark.parametrize(
    "asked",
    [
        {"query": "red"},
        {"query": "red -blue", "k": 3},
        {"query": "green", "filters": [{"field": "camera", "value": "pixel"}]},
        {"query": "green", "filters": [{"field": "camera", "value": "pixel", "negated": True}], "by_words": True},
        {"terms": [{"id": 1}, {"text": "blue"}]},
        {"query": "yellow", "judge": True, "wanted": "text"},
        {"query": "red", "filters": [{"field": "nonsense", "value": ""}]},
    ],
)
def test_questions_are_answered_alike(served: Served, asked: dict[str, Any]) -> None:
    local, shared = (client.post("/api/search", json=asked) for client in served[:2])
    assert (shared.status_code, shared.json()) == (local.status_code, local.json())


def test_status_tells_the_same_and_no_password(served: Served) -> None:
    local, shared = (client.get("/api/status").json() for client in served[:2])
    with_password = Service(served.address.replace("descry@", "descry:secret@"), encoder=color_encoder())
    assert with_password.status()["library"] == shared["library"] == served.address
    with_password.close()
    for own in ("library", "size", "revision"):
        del local[own], shared[own]
    assert local.pop("thumbnails")["count"] == shared.pop("thumbnails")["count"] > 0
    assert shared == local


def test_a_browser_may_go_from_server_to_server(served: Served) -> None:
    for route in ("/api/items", "/api/facets", "/api/items/3/thumbnail"):
        tag = served.shared.get(route).headers["etag"]
        assert served.other.get(route, headers={"If-None-Match": tag}).status_code == 304


def test_what_one_server_changes_the_other_tells(served: Served) -> None:
    served.shared.post("/api/tags", json={"tag": "new", "ids": [2]})
    assert "new" in served.other.get("/api/tags").json()["tags"]
    served.other.post("/api/tags", json={"tag": "new", "ids": [2], "remove": True})
    assert "new" not in served.shared.get("/api/tags").json()["tags"]


def test_a_server_without_the_photos_shows_their_thumbnails(served: Served) -> None:
    id = served.shared.get("/api/items?sort=path").json()["items"][0]["id"]
    before = served.shared.get(f"/api/items/{id}/thumbnail")
    aside = served.photos.rename(served.photos.with_name("aside"))
    try:
        after = served.other.get(f"/api/items/{id}/thumbnail")
        assert (after.status_code, after.content) == (200, before.content)
        assert served.other.get(f"/api/items/{id}/original").status_code == 410
    finally:
        aside.rename(served.photos)


def test_connections_that_broke_are_made_anew(served: Served) -> None:
    import psycopg

    answers = [served.shared.get("/api/items/3/thumbnail").content, served.shared.get("/api/items").content]
    with psycopg.connect(served.address, autocommit=True) as owner:
        of_others = "datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'descry'"
        owner.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {of_others}")
    assert served.shared.post("/api/search", json={"query": "red"}).status_code == 200
    assert [served.shared.get(f"/api/items{rest}").content for rest in ("/3/thumbnail", "")] == answers


def test_thumbnails_are_bounded_and_may_be_refused(postgres: Server) -> None:
    address = postgres.database()
    Library.create(address, color_encoder()).close()
    kept = PostgresThumbnails(address, at_most=3)
    for number in range(10):
        kept.put(bytes([number]), "small", b"jpeg")
    assert kept.held()[0] <= 5
    assert (kept.get(b"\x09", "small"), kept.get(b"\x00", "small")) == (b"jpeg", None)
    kept.close()
    import psycopg

    with psycopg.connect(address, autocommit=True) as owner:
        owner.execute("CREATE ROLE onlooker LOGIN; GRANT USAGE ON SCHEMA descry TO onlooker")
        owner.execute("GRANT SELECT ON ALL TABLES IN SCHEMA descry TO onlooker")
    refused = PostgresThumbnails(address.replace("descry@", "onlooker@"))
    refused.put(b"new", "small", b"jpeg")
    assert (refused.get(b"new", "small"), refused.get(b"\x09", "small")) == (None, b"jpeg")
    refused.close()

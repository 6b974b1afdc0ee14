"""Who is let in, and how much of him."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from search.web import guard
from search.web.app import create_app
from search.web.guard import Guard, hosts_of, is_loopback
from search.web.service import Service

TOKEN = "a secret"


@pytest.fixture
def closed(service: Service) -> Iterator[TestClient]:
    """Asks for a token."""
    app = Guard(create_app(service), hosts=hosts_of("0.0.0.0", ["photos.example"]), token=TOKEN)
    with TestClient(app, base_url="http://192.168.1.5:7700", follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7700", "", "127.0.0.1.evil.example", "[::1", "10.0.0.1"]
)
def test_a_name_that_somebody_else_made_point_here_is_refused(client: TestClient, host: str) -> None:
    response = client.get("/api/items", headers={"Host": host})
    assert response.status_code == 421
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["127.0.0.1:7700", "localhost", "LOCALHOST:1", "[::1]:7700"])
def test_the_servers_own_names_are_let_in(client: TestClient, host: str) -> None:
    assert client.get("/api/items", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:80"},
        {"Origin": "http://127.0.0.1:7700.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_may_neither_ask_nor_look(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/api/search", json={"query": "red"}, headers=headers).status_code == 403
    assert client.get("/api/items", headers=headers).status_code == 403


def test_the_own_page_programs_and_links_from_elsewhere_are_let_in(client: TestClient) -> None:
    own = {"Origin": "http://127.0.0.1:7700", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/search", json={"query": "red"}, headers=own).status_code == 200
    assert client.post("/api/search", json={"query": "red"}).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200
    assert client.post("/api/search", json={"query": "red"}, headers=link).status_code == 403


def test_without_the_token_nothing_is_told(closed: TestClient) -> None:
    for address in ("/", "/api/items", "/openapi.json", "/?token=wrong", "/api/items?token=a%20secret"):
        response = closed.get(address)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
    assert closed.get("/api/items", headers={"Cookie": "descry_token=wrong; \x00=;"}).status_code == 401
    assert closed.get("/healthz").status_code == 200


def test_the_address_that_is_printed_lets_a_browser_in_for_good(closed: TestClient) -> None:
    visit = closed.get("/", params={"token": TOKEN})
    assert (visit.status_code, visit.headers["location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=strict"} <= set(visit.headers["set-cookie"].split("; "))
    assert closed.get("/api/items").status_code == 200


def test_programs_bring_the_token_along(closed: TestClient) -> None:
    assert closed.get("/api/items", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert closed.get("/api/items", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert closed.get("/api/items", headers={"Authorization": TOKEN}).status_code == 401


@pytest.mark.parametrize(("host", "status"), [("photos.example", 401), ("[fe80::1]", 401), ("evil.example", 421)])
def test_on_all_addresses_numbers_and_allowed_names_are_ours(closed: TestClient, host: str, status: int) -> None:
    assert closed.get("/api/items", headers={"Host": host}).status_code == status


def test_only_loopback_is_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.5", "example.org")))


def test_scripts_come_from_the_server_alone(client: TestClient) -> None:
    for address in ("/", "/api/items", "/nowhere"):
        headers = client.get(address).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert (policy["default-src"], policy["script-src"]) == ("'none'", "'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(client: TestClient) -> None:
    large = b"x" * (guard.BODY_AT_MOST + 1)
    announced = client.post("/api/search", content=large)
    assert announced.status_code == 413
    unannounced = client.post("/api/search", content=iter([large]))
    assert unannounced.status_code == 413
    for response in (announced, unannounced):
        assert response.headers["content-type"] == "application/problem+json"


def test_an_upload_that_is_too_large_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "UPLOAD_AT_MOST", 100)
    form = {"query": '{"terms": [{"photo": 0}]}'}
    assert client.post("/api/search", data=form, files={"photo": b"x" * 200}).status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "PIECE_IN", 0.05)

    async def ask() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": "/api/search",
            "raw_path": b"/api/search",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
        }

        async def never() -> Any:
            await asyncio.sleep(60)

        async def keep(message: Any) -> None:
            sent.append(message)

        await Guard(create_app(service))(scope, never, keep)
        return sent

    with ThreadPoolExecutor(1) as apart:  # the browser's tests leave an event loop in this thread
        start, *_ = apart.submit(asyncio.run, ask()).result()
    assert start["status"] == 408

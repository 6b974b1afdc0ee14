"""A library of colours, served."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from painting import paint
from PIL import Image
from starlette.testclient import TestClient

from indexer import Encoder, Library, index_sources
from indexer.testing import COLORS
from search.web.app import create_app
from search.web.guard import Guard
from search.web.server import Protocol
from search.web.service import Service

ADDRESS = "http://127.0.0.1:7700"


@pytest.fixture
def service(library: Library, encoder: Encoder, photos: Path) -> Iterator[Service]:
    """Serves a photo of each colour; closed in the end, also where no client did it."""
    for color in COLORS:
        paint(photos / f"{color}.png", color)
    index_sources(library, [photos], encoder)
    service = Service(library.path, encoder=encoder)
    yield service
    service.close()


class Greenest:
    """A matcher to which every sentence means green."""

    side = 8

    def __call__(self, _sentence: str, pictures: Sequence[Image.Image]) -> list[float]:
        return [float(np.asarray(picture)[0, 0, 1]) / 255 for picture in pictures]


@pytest.fixture
def matcher(service: Service, monkeypatch: pytest.MonkeyPatch) -> Greenest:
    """The service with a model that re-ranks."""
    model = Greenest()
    monkeypatch.setattr("search.matching.load_matcher", lambda _: model)
    monkeypatch.setattr(service, "_rerank", "models/greenest")
    return model


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(Guard(create_app(service)), base_url=ADDRESS) as client:
        yield client


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    """Where the service is served by a real server."""
    config = uvicorn.Config(Guard(create_app(service)), port=0, http=Protocol, ws="none", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    (port,) = {socket.getsockname()[1] for one in server.servers for socket in one.sockets}
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """A browser without a window; where there is none, what needs it is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install .[dev]")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no chromium here: apt install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()

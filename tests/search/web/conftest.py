"""A library of colours, served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from painting import paint
from starlette.testclient import TestClient

from indexer import Encoder, Library, index_sources
from indexer.testing import COLORS
from search.web.app import create_app
from search.web.guard import Guard
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


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(Guard(create_app(service)), base_url=ADDRESS) as client:
        yield client

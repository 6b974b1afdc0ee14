"""What many tests begin with: a library of colours, and a folder for its photos."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from milvus_server import running_milvus
from painting import WatchedEncoder
from postgres_server import Server, running_server

from indexer import Encoder, Library
from indexer.modalities import MODALITIES
from indexer.testing import color_encoder

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

NOBODY = 65534


@pytest.fixture(autouse=True)
def modalities_in_order() -> Iterator[None]:
    """What a test took out of `MODALITIES` comes back to its place: the first that reads a suffix counts."""
    before = dict(MODALITIES)
    yield
    if [*MODALITIES.items()] != [*before.items()]:
        MODALITIES.clear()
        MODALITIES.update(before)


@pytest.fixture
def encoder() -> Encoder:
    return color_encoder()


@pytest.fixture
def watched() -> WatchedEncoder:
    return WatchedEncoder()


@pytest.fixture
def library(tmp_path: Path, encoder: Encoder) -> Iterator[Library]:
    with Library.create(tmp_path / "library", encoder) as library:
        yield library


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def milvus() -> Iterator[str]:
    """The address of a server."""
    with running_milvus() as address:
        yield address


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of one's own, as a user to whom things can be closed: root lays its rights down meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="descry-test-"))
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        for place in folder.rglob("*"):
            if place.is_dir():
                place.chmod(0o700)
        shutil.rmtree(folder)

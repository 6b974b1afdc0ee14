"""`descry serve` as a process: it starts, answers, hangs up on who is slow, and ends in good order."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from painting import paint

from indexer import Library, index_sources, load_encoder

STARTS_WITHIN = 60


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of the shipped encoder."""
    folder = tmp_path_factory.mktemp("served")
    paint(folder / "photos" / "red.png", "red")
    encoder = load_encoder()
    with Library.create(folder / "library", encoder) as library:
        index_sources(library, [folder / "photos"], encoder)
    return folder / "library"


def start(library: Path, *options: str, code: str = "from search.__main__ import run; run()") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, "--library", str(library), "serve", *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def address(server: subprocess.Popen[str]) -> str:
    """The address that a server prints once it is asked."""
    assert server.stderr is not None
    for line in server.stderr:
        if match := re.search(r"http://\S+", line):
            return match[0]
    raise AssertionError("the server ended without a word")


@pytest.fixture
def server(indexed: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(indexed, "--port", "0")
    yield process
    process.kill()
    process.communicate()


def answers(url: str) -> int:
    deadline = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError:
            raise
        except (ConnectionError, urllib.error.URLError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_in_good_order_when_told_to(server: subprocess.Popen[str], number: int, code: int) -> None:
    assert answers(f"{address(server)}healthz") == 200
    server.send_signal(number)
    _, said = server.communicate(timeout=20)
    assert server.returncode == code
    assert said == ""


def test_an_address_that_is_taken_is_refused_with_the_remedy(indexed: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = start(indexed, "--port", str(port))
        _, said = server.communicate(timeout=STARTS_WITHIN)
    assert server.returncode == 2
    assert f"127.0.0.1:{port}" in said
    assert "try another --port" in said


def test_a_library_that_is_not_there_is_refused_before_anything_listens(tmp_path: Path) -> None:
    server = start(tmp_path / "nowhere", "--port", "0")
    _, said = server.communicate(timeout=STARTS_WITHIN)
    assert server.returncode == 2
    assert "There is no library" in said


def test_who_does_not_get_his_request_out_is_hung_up_on(indexed: Path) -> None:
    code = "import search.web.server as s; s.HEAD_IN = 0.2; from search.__main__ import run; run()"
    server = start(indexed, "--port", "0", code=code)
    try:
        url = address(server)
        assert answers(f"{url}healthz") == 200
        port = int(re.search(r":(\d+)/", url)[1])  # type: ignore[index]
        with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            assert slow.recv(100) == b""
    finally:
        server.terminate()
        server.communicate()


def test_other_addresses_ask_for_a_token_and_say_so(indexed: Path) -> None:
    server = start(indexed, "--port", "0", "--host", "0.0.0.0")
    try:
        assert server.stderr is not None
        assert server.stderr.readline().startswith("warning: others can reach this")
        url = address(server)
        assert re.search(r"/\?token=[\w-]{20,}$", url)
        port = re.search(r":(\d+)/", url)[1]  # type: ignore[index]
        with pytest.raises(urllib.error.HTTPError) as refused:
            answers(f"http://127.0.0.1:{port}/api/items")
        with refused.value as response:
            assert response.status == 401
    finally:
        server.terminate()
        server.communicate()


def test_what_comes_while_it_is_served_is_indexed_and_said(indexed: Path) -> None:
    server = start(indexed, "--port", "0", "--watch")
    try:
        assert answers(f"{address(server)}healthz") == 200
        paint(indexed.parent / "photos" / "blue.png", "blue")
        assert server.stderr is not None
        assert "1 embedded" in server.stderr.readline()
        server.terminate()
        assert server.communicate(timeout=20)[1] == ""
        assert server.returncode == 0
    finally:
        server.kill()
        server.communicate()

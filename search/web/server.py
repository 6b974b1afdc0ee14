"""The server: where it listens, who may ask it, how it starts and ends."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from indexer.errors import PathError
from search.terminal import INTERRUPTED, say
from search.web.app import create_app
from search.web.guard import Guard, hosts_of, is_loopback
from search.web.service import Service
from search.web.telemetry import Metrics, Telemetry

# Connections at once; more are told to come again.
CONNECTIONS = 256

# Seconds in which the head of a request has to come, that a connection may be idle, and that answers under way get
# when the server ends.
HEAD_IN = 10
IDLE = 75
LAST_ANSWERS_IN = 3


class Protocol(H11Protocol):
    """HTTP as uvicorn speaks it, but whoever does not get the head of his request out in time is hung up on."""

    def connection_made(self, transport: Any) -> None:
        """A connection begins."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_IN, self._too_late)

    def handle_events(self) -> None:
        """Something came."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:  # the head is whole
            self._head_timer.cancel()

    def on_response_complete(self) -> None:
        """An answer is out, and the next request may begin."""
        super().on_response_complete()
        self._head_timer.cancel()
        self._head_timer = self.loop.call_later(IDLE, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection ended."""
        self._head_timer.cancel()
        super().connection_lost(exc)

    def _too_late(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()


class _Uvicorn(uvicorn.Server):
    """Ends in good order on SIGTERM and Ctrl-C, and remembers which it was instead of dying of it."""

    signal_seen: int | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles both signals while inside."""
        before = {number: signal.signal(number, self._ended_by) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ended_by(self, number: int, frame: FrameType | None) -> None:
        self.signal_seen = number
        self.handle_exit(number, frame)


def serve(
    library: Path | str,
    *,
    host: str,
    port: int,
    token: str | None = None,
    hosts: Sequence[str] = (),
    roots: Sequence[Path] = (),
    watch: bool = False,
    rerank: str = "",
    device: str = "auto",
    show: bool = False,
    log: str = "",
) -> int:
    """Serves a library until it is told to end; the exit code. Raises `PathError`, and what `Library.open` raises.

    `roots` are the folders that may be indexed from the page; with `watch`, those that the library knows are followed;
    `rerank` is the model by which answers can be re-ranked; `log` is "requests", "queries" or "".
    """
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    for name in ("uvicorn.error", "python_multipart"):  # what a client does wrong, it is told
        logging.getLogger(name).setLevel(logging.ERROR)
    with listening(host, port) as listener:
        service = Service(library, device=device, rerank=rerank)
        metrics = Metrics()
        app = create_app(service, roots=roots, watch=say if watch else None, metrics=metrics)
        guarded = Guard(app, hosts=hosts_of(host, hosts), token=token)
        config = uvicorn.Config(
            Telemetry(guarded, metrics, log=sys.stderr if log else None, queries=log == "queries"),
            http=Protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=LAST_ANSWERS_IN,
        )
        server = _Uvicorn(config)
        address = address_of(host, listener.getsockname()[1], token)
        if not is_loopback(host):
            say("warning: others can reach this server; whoever has the address below sees all photos.")
        say(f"{service.name} is served at {address}  (Ctrl-C stops it)")
        if show:
            click.launch(address)
        asyncio.run(server.serve([listener]))
    return INTERRUPTED if server.signal_seen == signal.SIGINT else 0


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there. Raises `PathError` where that is not possible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise PathError(
            f"The address {host}:{port} cannot be served at ({error.strerror or error}): try another --port."
        ) from error
    with listener:
        yield listener


def address_of(host: str, port: int, token: str | None) -> str:
    """The address to open in a browser."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/{f'?token={token}' if token else ''}"

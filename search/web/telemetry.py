"""What a server tells of itself: counters for Prometheus, and lines of JSON, neither with what was asked."""

from __future__ import annotations

import json
import time
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Seconds; a question takes some ten milliseconds, a thumbnail one.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.06, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of requests by method, route and status."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "route")
        self._count = Counter("descry_requests", "Requests.", (*labels, "status"), registry=self._registry)
        self._time = Histogram("descry_seconds", "Time.", labels, buckets=BUCKETS, registry=self._registry)
        self.under_way = Gauge("descry_requests_under_way", "Requests under way.", registry=self._registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts a request that was answered."""
        self._count.labels(method, route, status).inc()
        self._time.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """The counters as Prometheus reads them."""
        return generate_latest(self._registry)


class Telemetry:
    """An ASGI application around another one. Writes a line a request to `log`; with `queries`, what was asked too."""

    def __init__(self, app: ASGIApp, metrics: Metrics, *, log: TextIO | None = None, queries: bool = False) -> None:
        self._app, self._metrics, self._log, self._queries = app, metrics, log, queries

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands a request on, and counts it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, size = time.perf_counter(), 500, 0

        async def sent(message: Message) -> None:
            nonlocal status, size
            status = message.get("status", status)
            size += len(message.get("body", b""))
            await send(message)

        self._metrics.under_way.inc()
        try:
            await self._app(scope, receive, sent)
        finally:
            self._metrics.under_way.dec()
            self._tell(scope, status, size, time.perf_counter() - started)

    def _tell(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        # by the pattern of the route: addresses are the client's, and there is no end of them
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if route != "none" else "none"
        self._metrics.count(method, route, status, seconds)
        if self._log is not None:
            line = {
                "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "method": scope["method"],
                "route": route,
                "status": status,
                "bytes": size,
                "milliseconds": round(1000 * seconds, 1),
            }
            if self._queries:
                line["query"] = f"{scope['path']}?{scope['query_string'].decode('latin-1')}"
            self._log.write(f"{json.dumps(line)}\n")
            self._log.flush()

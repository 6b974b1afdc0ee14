"""Who is let in, and how much of him: the one gate before the application, for every request.

A page of somebody else's site must not read a library that is served on the same machine (DNS rebinding: Host is
checked) nor make it do things (cross-site requests: Origin and Sec-Fetch-Site are). On another address than loopback a
token is asked for. Bodies are counted while they come, and must come in time.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket
from collections.abc import Iterable
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search.web.problems import problem

COOKIE = "descry_token"

# Bytes of a body: photos that come with a question, and anything else.
UPLOAD_AT_MOST = 64_000_000
BODY_AT_MOST = 1_000_000

# Seconds that a body may take to come, and that may pass between two pieces of it.
BODY_IN = 60.0
PIECE_IN = 15.0

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "same-origin",  # with none at all, forms of the own page have the origin "null"
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Guard:
    """An ASGI application before another one. `hosts` are the names by which it may be asked, without a port."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str] = LOOPBACK, token: str | None = None) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request itself, or hands it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # web sockets are closed by who opened them
        headers = Headers(scope=scope)
        refused = self._refused(scope, headers) or self._unknown(scope, headers)
        sent = _with_headers(send)
        if refused is not None:
            await refused(scope, receive, sent)
            return
        body = _Body(receive, _limit(headers))
        if int(_number(headers.get("content-length"))) > body.limit:
            await problem(413, _too_large(body.limit))(scope, receive, sent)
            return
        await self._app(scope, body.receive, sent)

    def _refused(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a request that comes from somewhere else than this server's own page or a program."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return problem(421, "This server does not go by that name: --allow-host NAME lets it.")
        is_visit = scope["method"] in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") and not is_visit:
            return problem(403, "Pages of other sites may not ask this server.")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return problem(403, "Pages of other sites may not ask this server.")
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._hosts or ("*" in self._hosts and _is_address(name))

    def _unknown(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a request without the token; the address that the server prints is a visit with it."""
        if self._token is None or scope["path"] == "/healthz":
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and given and self._is_token(given):
            visit = RedirectResponse("/", 303)
            visit.set_cookie(COOKIE, given, httponly=True, samesite="strict", max_age=30 * 86400)
            return visit
        cookie = SimpleCookie()
        try:
            cookie.load(headers.get("cookie", ""))
        except Exception:  # a cookie of somebody else's that is none
            cookie.clear()
        kept = cookie[COOKIE].value if COOKIE in cookie else ""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if self._is_token(kept) or (scheme.lower() == "bearer" and self._is_token(bearer.strip())):
            return None
        return problem(401, "Open the address that `descry serve` printed, or send its token as a bearer token.")

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._token or "").encode())


class _Body:
    """Counts what comes, and how long it takes."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.limit = limit
        self._receive = receive
        self._came = 0
        self._until: float | None = None
        self._is_whole = False

    async def receive(self) -> Message:
        """The next piece. Raises `HTTPException` when it is too much, or too late."""
        if self._is_whole:  # what comes now is that the client leaves, and that may take as long as it likes
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._until = self._until or now + BODY_IN
        try:
            message = await asyncio.wait_for(self._receive(), min(PIECE_IN, max(0.0, self._until - now)))
        except TimeoutError:
            raise HTTPException(408, "The request did not come in time.", {"Connection": "close"}) from None
        self._came += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._came > self.limit:
            raise HTTPException(413, _too_large(self.limit), {"Connection": "close"})
        return message


def hosts_of(host: str, allowed: Iterable[str]) -> set[str]:
    """The names by which a server on that address may be asked; "*" stands for any address in numbers.

    Names can be made to point here by anybody, numbers cannot.
    """
    names = {*LOOPBACK, host, *allowed}
    if host not in LOOPBACK:
        names |= {"*", socket.gethostname(), f"{socket.gethostname()}.local"}
    return names


def is_loopback(host: str) -> bool:
    """Whether a server on that address can be reached from this machine alone."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _limit(headers: Headers) -> int:
    return UPLOAD_AT_MOST if headers.get("content-type", "").startswith("multipart/form-data") else BODY_AT_MOST


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0


def _too_large(limit: int) -> str:
    return f"A request of this kind may have {limit:,} bytes, and this one has more."


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent

"""Refusals as problem details (RFC 9457), each error of ours with its status."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from indexer.errors import (
    DescryError,
    EncoderError,
    LibraryError,
    LibraryFull,
    LibraryLocked,
    PathError,
    QueryError,
    SourceError,
)

MEDIA_TYPE = "application/problem+json"

# The first kind that an error is of; what is none of these is a fault of ours.
STATUSES: tuple[tuple[type[DescryError], int], ...] = (
    (QueryError, 400),
    (PathError, 400),
    (SourceError, 422),
    (LibraryLocked, 409),
    (LibraryFull, 507),
    (LibraryError, 503),
    (EncoderError, 503),
)


class Gone(DescryError):
    """The item is in the library, its file is not where it was."""


class NotHere(DescryError):
    """The library holds nothing under that id."""


class Busy(DescryError):
    """More is asked at once than can be answered in good time."""


_OURS = ((Gone, 410), (NotHere, 404), (Busy, 503), *STATUSES)


def problem(status: int, detail: str, **more: Any) -> JSONResponse:
    """The answer to a request that is refused."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(content, status, headers | {"Cache-Control": "no-store"}, MEDIA_TYPE)


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that OpenAPI is told of."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def speak(app: FastAPI) -> None:
    """Has the application answer every error with a problem."""

    async def ours(_request: Request, error: Exception) -> JSONResponse:
        status = next((status for kind, status in _OURS if isinstance(error, kind)), 500)
        return problem(status, str(error))

    async def malformed(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        errors = [{"at": ".".join(map(str, one["loc"])), "problem": one["msg"]} for one in error.errors()]
        said = "; ".join(f"{one['at']}: {one['problem']}" for one in errors[:3])
        return problem(422, f"The request is not as it should be: {said}.", errors=errors[:20])

    async def plain(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        refused = problem(error.status_code, str(error.detail))
        refused.headers.update(error.headers or {})
        return refused

    async def fault(_request: Request, _error: Exception) -> JSONResponse:
        return problem(500, "This is a fault of Descry; where it runs, it has said more.")

    app.add_exception_handler(DescryError, ours)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(Exception, fault)

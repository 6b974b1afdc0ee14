"""What can be asked over HTTP: a route a question, as thin as it can be; `service` answers, `guard` stands before.

The document of the interface is at `/openapi.json`, and `docs/serve.md` shows how to use it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from enum import StrEnum
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import FastAPI, Form, Query, Request
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError
from pydantic.json_schema import models_json_schema
from starlette.datastructures import UploadFile

from indexer.errors import QueryError
from indexer.threads import processors
from search.filters import Filter
from search.reading import read
from search.web import schemas
from search.web.downloads import zipped
from search.web.indexing import Indexing
from search.web.overview import Overview
from search.web.problems import Busy, declared, speak
from search.web.schemas import (
    ALL_PICTURES,
    GREATEST_ID,
    HITS_AT_MOST,
    PHOTOS_AT_MOST,
    QUESTION,
    IndexIn,
    SearchIn,
    TagIn,
)
from search.web.service import SHOWN, Service, found, item_record
from search.web.telemetry import Metrics

STATIC = Path(__file__).parent / "static"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

# Seconds after which the answer to a question is given up.
PATIENCE = 30.0

# The same where an encoder may have to be loaded first that looks at parts of photos.
EXPLAINED_IN = 120.0

# The same where a model looks at a hundred photos: two seconds of a core each for the larger ones.
RERANKED_IN = 300.0

# Seconds between looks at whether who asked for that has hung up.
LOOK_EVERY = 0.5

# Photos of a contact sheet: some 40 kB each.
SHEET_AT_MOST = 2000

LIVE = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

# Kept by the client, who asks each time whether it has changed.
REVALIDATED = "private, no-cache"

# The thumbnail of a content does not change; an item's content may, which the page tells by its address.
FOR_A_DAY = "private, max-age=86400"

Value = TypeVar("Value")
Id = Annotated[int, InPath(ge=1, le=GREATEST_ID)]
Ids = Annotated[str, Form(max_length=20 * HITS_AT_MOST, pattern="^[0-9]{1,18}(,[0-9]{1,18})*$")]
Conditions = Annotated[
    list[Annotated[str, Query(max_length=QUESTION)]],
    Query(max_length=100, description="FIELD=VALUE, as in camera=canon: the filters of `descry search --help`."),
]
Wanted = Annotated[
    str, Query(max_length=40, description="image, video, text ...; of one tower several, with commas between.")
]
Sort = Annotated[str, Query(max_length=40, description="An order of `descry list --help`; - turns it round.")]


class Size(StrEnum):
    """Thumbnails of a tile of the grid, and of the viewer."""

    SMALL = "small"
    LARGE = "large"


def file_of(media_type: str, *others: int) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that answers with a file; `others` are statuses of refusals."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"content": content}, **declared(*others)}


REFUSED = declared(400, 401, 403, 408, 413, 421, 422, 500, 503)
OF_AN_ITEM = declared(404)


def create_app(
    service: Service,
    *,
    roots: Sequence[Path] = (),
    watch: Callable[[str], None] | None = None,
    metrics: Metrics | None = None,
) -> FastAPI:
    """The application that serves a library. It closes the service when it ends.

    Folders at or below `roots` may be indexed; with `watch`, what changes in those that the library knows is indexed,
    and said to it. `metrics` are those that `/metrics` tells.
    """
    overview, indexing, metrics = Overview(service), Indexing(service.path, roots), metrics or Metrics()
    painters = ThreadPoolExecutor(processors(), thread_name_prefix="descry-thumbnails")

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if watch is not None:
            indexing.follow(watch)
        yield
        await asyncio.to_thread(indexing.close)
        painters.shutdown(wait=True, cancel_futures=True)
        overview.close()
        service.close()

    app = FastAPI(
        title="Descry",
        version=version("descry"),
        summary="Search a library of photos and texts by meaning.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        docs_url=None,  # it would be fetched from somebody else's server
        redoc_url=None,
        responses=REFUSED,
    )
    speak(app)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    _serve_page(app)

    async def drawn(work: Callable[[], Value]) -> Value:
        return await _in_time(painters.submit(work))

    @app.get("/healthz", tags=["server"], summary="Whether the server and its library are there")
    def health() -> dict[str, str]:
        service.revision()
        return {"status": "ok"}

    @app.get("/metrics", tags=["server"], summary="Counters for Prometheus", response_class=PlainTextResponse)
    def counters() -> Response:
        return PlainTextResponse(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/api/status", response_model=schemas.Status, tags=["library"], summary="What the library holds")
    def status() -> Response:
        return JSONResponse(service.status(), headers={"Cache-Control": "no-store"})

    @app.get("/api/items", response_model=schemas.Page, tags=["items"], summary="Browse: items without a question")
    def items(
        request: Request,
        filter: Conditions = [],  # noqa: B006 - FastAPI copies it
        exclude: Conditions = [],  # noqa: B006
        id: Annotated[
            list[Annotated[int, Query(ge=1, le=GREATEST_ID)]],
            Query(max_length=500, description="Just these, in this order; everything else is passed over."),
        ] = [],  # noqa: B006
        modality: Wanted = ALL_PICTURES,
        sort: Sort = "-date",
        cursor: Annotated[
            str | None, Query(pattern=r"^[0-9]{1,12}\.[0-9]{1,18}$", description="`next` of the page before.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Response:
        def page() -> Response:
            if id:
                chosen, total, following = service.items(id), len(id), None
            else:
                chosen, total, following = service.page(
                    wanted=modality, filters=_filters(filter, exclude), sort=sort, cursor=cursor, limit=limit
                )
            return JSONResponse({"items": list(map(item_record, chosen)), "total": total, "next": following})

        return _unless_known(request, service.revision(), page)

    @app.get(
        "/api/grid",
        tags=["items"],
        summary="All items at once, as little as a grid needs",
        description="For n items: n ids as little-endian uint32, n days as int32 (Julian day numbers), n shapes as "
        "uint16 (width by height, in 256ths).",
        response_class=Response,
        responses=file_of("application/octet-stream"),
    )
    def grid(
        request: Request,
        filter: Conditions = [],  # noqa: B006
        exclude: Conditions = [],  # noqa: B006
        modality: Wanted = ALL_PICTURES,
        sort: Sort = "-date",
    ) -> Response:
        def columns() -> Response:
            content = service.grid(wanted=modality, filters=_filters(filter, exclude), sort=sort)
            return Response(content, media_type="application/octet-stream")

        return _unless_known(request, service.revision(), columns)

    @app.get("/api/facets", response_model=schemas.Facets, tags=["items"], summary="How many items there are of what")
    def facets(
        request: Request,
        filter: Conditions = [],  # noqa: B006
        exclude: Conditions = [],  # noqa: B006
        modality: Wanted = ALL_PICTURES,
    ) -> Response:
        def counted() -> Response:
            total, counts = service.facets(wanted=modality, filters=_filters(filter, exclude))
            return JSONResponse({"total": total, "facets": counts})

        return _unless_known(request, service.revision(), counted)

    @app.get(
        "/api/suggestions",
        response_model=schemas.Suggestions,
        tags=["questions"],
        summary="What a line that is being written may become",
    )
    def suggestions(text: Annotated[str, Query(max_length=QUESTION)]) -> Response:
        return JSONResponse({"suggestions": service.suggestions(text)})

    @app.get(
        "/api/reading",
        response_model=schemas.Reading,
        tags=["questions"],
        summary="What a question says of when photos were taken, and of their colours, as filters",
    )
    def reading(text: Annotated[str, Query(max_length=QUESTION)]) -> Response:
        rest, found = read(text)
        filters = [{**asdict(filter), "said": one.said} for one in found for filter in one.filters]
        return JSONResponse({"text": rest, "filters": filters})

    @app.get(
        "/api/items/{id}",
        response_model=schemas.Detail,
        responses=OF_AN_ITEM,
        tags=["items"],
        summary="An item, its tags and its captions",
    )
    def item(request: Request, id: Id) -> Response:
        def told() -> Response:
            held, tags, captions = service.detail(id)
            return JSONResponse({**item_record(held), "tags": tags, "captions": captions})

        return _unless_known(request, service.revision(), told)

    @app.get(
        "/api/items/{id}/similar",
        response_model=schemas.Found,
        responses=OF_AN_ITEM,
        tags=["questions"],
        summary="What resembles an item",
    )
    async def similar(
        id: Id, k: Annotated[int, Query(ge=1, le=HITS_AT_MOST)] = 50, modality: Wanted = ALL_PICTURES
    ) -> Response:
        query = service.similar(id, k=k, wanted=modality)
        return JSONResponse(found(await _in_time(service.ask(query, judge=False))))

    @app.get(
        "/api/items/{id}/thumbnail",
        responses=file_of("image/jpeg", 404, 410) | {304: {"description": "Not Modified"}},
        response_class=Response,
        tags=["files"],
        summary="A photo made small, upright, without its EXIF block",
    )
    async def thumbnail(request: Request, id: Id, size: Size = Size.SMALL) -> Response:
        def jpeg() -> Response:
            content = service.content(id, is_needed=False)
            stamp = f"{content.fingerprint.hex()}-{content.mtime_ns:x}-{size}"
            return _unless_known(
                request, stamp, lambda: Response(service.thumbnail(content, size), media_type="image/jpeg"), FOR_A_DAY
            )

        return await drawn(jpeg)

    @app.get(
        "/api/items/{id}/original",
        responses=file_of("*/*", 404, 410, 416) | {206: {"description": "Partial Content"}},
        response_class=FileResponse,
        tags=["files"],
        summary="The file of an item as it is",
    )
    def original(id: Id, download: bool = False) -> Response:
        path = service.content(id).item.path
        shown = SHOWN.get(path.suffix.lower())
        how = "inline" if shown and not download else "attachment"
        name = quote(path.name.encode("utf-8", "replace"), safe="")
        headers = {"Content-Disposition": f"{how}; filename*=UTF-8''{name}", "Cache-Control": REVALIDATED}
        return FileResponse(path, media_type=shown or "application/octet-stream", headers=headers)

    @app.get(
        "/api/items/{id}/explain",
        response_model=schemas.Explained,
        responses=declared(404, 410),
        tags=["questions"],
        summary="Where in a photo a sentence fits",
    )
    async def explain(id: Id, sentence: Annotated[str, Query(min_length=1, max_length=QUESTION)]) -> Response:
        content = await asyncio.to_thread(service.content, id)
        heat = await _in_time(service.explain(content, sentence), EXPLAINED_IN)
        return JSONResponse(
            {
                "sentence": heat.sentence,
                "score": round(heat.score, 6),
                "best": round(heat.peak, 6),
                "place": [round(share, 4) for share in heat.place],
                "box": [round(float(share), 4) for share in heat.box],
                "cells": [[round(float(cell), 4) for cell in row] for row in heat.cells],
            }
        )

    @app.post(
        "/api/search",
        response_model=schemas.Found,
        tags=["questions"],
        summary="Ask: sentences, photos, items, filters",
        openapi_extra={"requestBody": _SEARCH_BODY},
    )
    async def search(request: Request) -> Response:
        question, photos = await _question(request)
        with service.uploaded(photos) as paths:
            asked = service.ask(service.query(question, paths), judge=question.judge)
            answers = await (_unless_hung_up(request, asked) if question.rerank else _in_time(asked))
        return JSONResponse(found(answers), headers={"Cache-Control": "no-store"})

    @app.get("/api/tags", response_model=schemas.Tags, tags=["library"], summary="The tags there are")
    def tags() -> Response:
        return JSONResponse({"tags": service.tags()})

    @app.post(
        "/api/tags",
        response_model=schemas.Tags,
        responses=declared(409, 507),
        tags=["library"],
        summary="Tag items, or take a tag off them",
    )
    def tag(request: TagIn) -> Response:
        return JSONResponse({"tags": service.tag(request.tag, request.ids, remove=request.remove)})

    @app.get("/api/groups", response_model=schemas.Groups, tags=["overview"], summary="Groups of alike photos")
    async def groups(number: Annotated[int | None, Query(ge=1, le=1000)] = None) -> Response:
        return JSONResponse({"groups": await _in_time(await asyncio.to_thread(overview.groups, number))})

    @app.get("/api/map", response_model=schemas.Map, tags=["overview"], summary="Where photos lie by likeness")
    async def likeness_map() -> Response:
        return JSONResponse(await _in_time(await asyncio.to_thread(overview.map)))

    @app.get(
        "/api/duplicates",
        response_model=schemas.Duplicates,
        tags=["overview"],
        summary="Photos that are there several times",
    )
    async def duplicates() -> Response:
        return JSONResponse({"groups": await _in_time(await asyncio.to_thread(overview.duplicates))})

    @app.post(
        "/api/download",
        response_class=StreamingResponse,
        responses=file_of("application/zip"),
        tags=["files"],
        summary="The files of items as a zip, streamed",
    )
    def download(ids: Ids) -> Response:
        items = service.items(_numbers(ids, HITS_AT_MOST))
        headers = {"Content-Disposition": 'attachment; filename="photos.zip"', "Cache-Control": "no-store"}
        return StreamingResponse(zipped(items), media_type="application/zip", headers=headers)

    @app.post(
        "/api/sheet",
        response_class=StreamingResponse,
        responses=file_of("text/html"),
        tags=["files"],
        summary="A contact sheet of items: a page that holds its thumbnails, to print or to send",
    )
    def sheet(ids: Ids) -> Response:
        items = service.items(_numbers(ids, SHEET_AT_MOST))
        headers = {"Content-Disposition": 'attachment; filename="photos.html"', "Cache-Control": "no-store"}
        return StreamingResponse(service.sheet(items), media_type="text/html", headers=headers)

    @app.get("/api/folders", response_model=schemas.Folders, tags=["indexing"], summary="Folders that may be indexed")
    def folders(path: Annotated[str | None, Query(max_length=4096)] = None) -> Response:
        return JSONResponse({"folders": indexing.folders(path)})

    events = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}

    @app.post(
        "/api/index",
        response_class=StreamingResponse,
        responses={200: events},
        tags=["indexing"],
        summary="Index a folder; progress as server-sent events",
        description="Events `progress` with total, files, items and failed; in the end `failed` for each file that "
        "could not be read (the last 100), and `end` with the report or a `problem`. Hanging up does not stop the run.",
    )
    async def index(request: IndexIn) -> Response:
        await asyncio.to_thread(indexing.start, request.path)
        return StreamingResponse(_as_events(indexing.events()), media_type="text/event-stream", headers=LIVE)

    @app.get(
        "/api/index",
        response_class=StreamingResponse,
        responses={200: events},
        tags=["indexing"],
        summary="Follow the last run; no event where there was none",
    )
    async def follow() -> Response:
        return StreamingResponse(_as_events(indexing.events()), media_type="text/event-stream", headers=LIVE)

    @app.delete(
        "/api/index", response_model=schemas.Cancelled, tags=["indexing"], summary="Stop the run; what is done is kept"
    )
    def cancel() -> Response:
        return JSONResponse({"cancelled": indexing.cancel()})

    return app


def _numbers(ids: str, at_most: int) -> list[int]:
    """The ids of a form, each once. Raises `QueryError` for too many."""
    wanted = list(dict.fromkeys(map(int, ids.split(","))))
    if len(wanted) > at_most:
        raise QueryError(f"At most {at_most} of them come at once.")
    return wanted


async def _as_events(told: AsyncIterator[tuple[str, dict[str, Any]]]) -> AsyncIterator[str]:
    async for name, data in told:
        yield f"event: {name}\ndata: {json.dumps(data)}\n\n"


_SEARCH_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/SearchIn"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["query"],
                "properties": {
                    "query": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "description": "The same as JSON; its terms name the photos by their numbers.",
                    },
                    "photo": {
                        "type": "array",
                        "maxItems": PHOTOS_AT_MOST,
                        "items": {"type": "string", "contentMediaType": "image/*"},
                    },
                },
            }
        },
    },
}


async def _question(request: Request) -> tuple[SearchIn, Sequence[bytes]]:
    """The question of a request, and the photos that came with it. Raises `RequestValidationError`."""
    photos: list[bytes] = []
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=PHOTOS_AT_MOST, max_fields=1) as form:
            told = form.get("query", "")
            photos = [await part.read() for part in form.getlist("photo") if isinstance(part, UploadFile)]
        content: str | bytes = told if isinstance(told, str) else await told.read()
    else:
        content = await request.body()
    try:
        return SearchIn.model_validate_json(content), photos
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_context=False)) from error


def _filters(let_through: Sequence[str], kept_out: Sequence[str]) -> tuple[Filter, ...]:
    """The filters of an address, "FIELD=VALUE" each. Raises `QueryError`."""
    told = [(text, False) for text in let_through] + [(text, True) for text in kept_out]
    pairs = [(text.partition("="), negated) for text, negated in told]
    return tuple(Filter(field, value, negated) for (field, _, value), negated in pairs)


async def _in_time(future: Future[Value], seconds: float = PATIENCE) -> Value:
    """What a thread gives. Raises `Busy` if it takes too long."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
    except TimeoutError:
        raise Busy(f"No answer within {seconds:.0f} seconds: ask again in a moment, or for less.") from None


async def _unless_hung_up(request: Request, future: Future[Value]) -> Value:
    """What a thread gives in `RERANKED_IN`; nothing more is done for a client that does not wait. Raises `Busy`."""
    waiting = asyncio.ensure_future(_in_time(future, RERANKED_IN))
    while not (await asyncio.wait([waiting], timeout=LOOK_EVERY))[0]:
        if await request.is_disconnected():
            waiting.cancel()  # and the thread's work with it, if it has not begun
            raise Busy("Nobody waits for the answer.")
    return await waiting


def _unless_known(request: Request, stamp: str, make: Callable[[], Response], kept: str = REVALIDATED) -> Response:
    """An answer that the client keeps; a short one if it has what the stamp and the address stand for already."""
    told = f"{stamp} {request.url.path}?{request.url.query}"
    tag = f'"{blake2b(told.encode(), digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": kept}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    response = make()
    response.headers.update(headers)
    return response


def _serve_page(app: FastAPI) -> None:
    """Gives the page's files a route each; they are read now, and no request names a file."""
    for path in sorted(STATIC.iterdir()):
        if path.suffix in TYPES:
            address = "/" if path.name == "index.html" else f"/{path.name}"
            app.add_api_route(address, _file(path), include_in_schema=False, methods=["GET", "HEAD"])


def _file(path: Path) -> Callable[[Request], Response]:
    content = path.read_bytes()
    small = gzip.compress(content, 9, mtime=0)
    stamp = blake2b(content, digest_size=12).hexdigest()
    media_type = TYPES[path.suffix]

    def file(request: Request) -> Response:
        is_small = "gzip" in request.headers.get("accept-encoding", "")

        def whole() -> Response:
            headers = {"Vary": "Accept-Encoding"} | ({"Content-Encoding": "gzip"} if is_small else {})
            return Response(small if is_small else content, media_type=media_type, headers=headers)

        return _unless_known(request, f"{stamp} {is_small}", whole)

    return file


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with what the routes that read their bodies themselves refer to."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            license_info=app.license_info,
            routes=app.routes,
        )
        models: Any = [(SearchIn, "validation"), (schemas.Problem, "serialization")]
        _, defined = models_json_schema(models, ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= defined["$defs"]
        app.openapi_schema = document
    return app.openapi_schema

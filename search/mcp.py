"""The library as read-only tools for assistants, by the Model Context Protocol over standard input and output.

They answer what the REST interface answers, from the same functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from indexer.errors import DescryError
from search.web.schemas import ALL_PICTURES, GREATEST_ID, QUESTION, FilterIn, SearchIn
from search.web.service import Service, found, item_record

INSTRUCTIONS = """A library of somebody's photos and texts, searched by meaning. Describe what a photo shows in plain
English. Hits have ids, for `similar`, `facts` and `preview`. Scores are cosines, comparable within one answer only;
a `probability` says how surely a hit fits, and hits without one are merely the nearest."""

# Hits of one answer: an assistant reads all of them.
HITS_AT_MOST = 100

Id = Annotated[int, Field(ge=1, le=GREATEST_ID, description="The id of a hit.")]
Number = Annotated[int, Field(ge=1, le=HITS_AT_MOST, description="Hits at most.")]
Question = Annotated[
    str, Field(min_length=1, max_length=QUESTION, description='A description: "a dog on a beach"; -words are avoided.')
]
Filters = Annotated[
    list[FilterIn],
    Field(max_length=20, description='Conditions, such as {"field": "on", "value": "2023"}, in, camera, place, tag.'),
]


def server(service: Service) -> MCPServer[Any]:
    """The tools over a service's library."""
    tools = MCPServer("descry", title="Descry", instructions=INSTRUCTIONS, version=version("descry"))
    reading = tools.tool(annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))

    @reading
    def search(query: Question, k: Number = 10, wanted: str = ALL_PICTURES, filters: Filters = []) -> dict[str, Any]:  # noqa: B006
        """Find photos (or, with wanted="text", passages of texts) by what they show or say."""
        with told():
            request = SearchIn.model_validate({"query": query, "k": k, "wanted": wanted, "filters": filters})
            return found(service.ask(service.query(request, []), judge=True).result())

    @reading
    def similar(id: Id, k: Number = 10) -> dict[str, Any]:
        """Find photos that look like one of the library."""
        with told():
            return found(service.ask(service.similar(id, k=k, wanted=ALL_PICTURES), judge=False).result())

    @reading
    def facts(id: Id) -> dict[str, Any]:
        """What is known of an item: its path, date, camera, place, size, tags and captions."""
        with told():
            item, tags, captions = service.detail(id)
            return {**item_record(item), "tags": tags, "captions": captions}

    @reading
    def preview(id: Id) -> Image:
        """A photo made small, to be looked at."""
        with told():
            return Image(data=service.thumbnail(service.content(id, is_needed=False), "small"), format="jpeg")

    return tools


@contextmanager
def told() -> Iterator[None]:
    """Has the assistant told what Descry refuses, in its words."""
    try:
        yield
    except DescryError as error:
        raise ToolError(str(error)) from error


def serve(library: Path | str, *, device: str = "auto") -> None:
    """Answers on standard input and output until the input ends. Raises what `Library.open` raises."""
    service = Service(library, device=device)
    try:
        server(service).run("stdio")
    finally:
        service.close()

"""Assistants get what the REST interface says, over standard input and output, and change nothing."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from indexer import Library, index_sources, load_encoder, shipped

pytest.importorskip("mcp", reason="mcp is not installed: pip install 'descry[mcp]'")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of the demo's photos, under the shipped encoder."""
    place = tmp_path_factory.mktemp("library")
    encoder = load_encoder()
    with Library.create(place, encoder) as library:
        index_sources(library, sorted(shipped("photos").glob("*.jpg"))[:6], encoder)
    return place


def asked(library: Path, *calls: tuple[str, dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """The tools of a `descry mcp` of its own process, and what it answers to calls of them."""
    from mcp import Client, StdioServerParameters

    async def talk() -> tuple[list[Any], list[Any]]:
        command = ["-m", "search", "--library", str(library), "mcp"]
        async with Client(StdioServerParameters(command=sys.executable, args=command)) as client:
            tools = (await client.list_tools()).tools
            return tools, [await client.call_tool(name, arguments) for name, arguments in calls]

    with ThreadPoolExecutor(1) as apart:  # the browser's tests leave an event loop in this thread
        return apart.submit(asyncio.run, talk()).result()


def test_an_assistant_searches_looks_closer_and_sees(library: Path) -> None:
    with Library.open(library) as opened:
        items = opened.catalog.items(opened.catalog.ids("image").tolist())
    tools, (found, like, facts, preview, unknown, odd) = asked(
        library,
        ("search", {"query": "a cat", "k": 3}),
        ("similar", {"id": items[0].id, "k": 2}),
        ("facts", {"id": items[0].id}),
        ("preview", {"id": items[0].id}),
        ("facts", {"id": 99_999}),
        ("search", {"query": "a cat", "filters": [{"field": "colour", "value": "red"}]}),
    )
    assert sorted(tool.name for tool in tools) == ["facts", "preview", "search", "similar"]
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)
    hits = found.structured_content["hits"]
    assert len(hits) == 3 and {hit["path"] for hit in hits} <= {str(item.path) for item in items}
    assert items[0].id not in [hit["id"] for hit in like.structured_content["hits"]]
    assert facts.structured_content["path"] == str(items[0].path)
    (picture,) = preview.content
    drawn = Image.open(BytesIO(base64.b64decode(picture.data)))
    assert (picture.mime_type, max(drawn.size) <= 528) == ("image/jpeg", True)
    assert unknown.is_error and "nothing under id 99999" in unknown.content[0].text
    assert odd.is_error and "colour" in odd.content[0].text and "Traceback" not in odd.content[0].text


def test_without_the_extra_its_name_is_said(tmp_path: Path) -> None:
    code = "import sys; sys.modules['mcp'] = None; from search.__main__ import run; sys.argv[1:] = ['mcp']; run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith("pip install 'descry[mcp]'.")

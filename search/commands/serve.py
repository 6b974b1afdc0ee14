"""`descry serve` and `descry mcp`: the library for browsers, programs and assistants."""

from __future__ import annotations

from pathlib import Path

import click

from search.options import device_option, limit_options


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("--port", default=7700, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--token",
    metavar="WORDS",
    envvar="DESCRY_TOKEN",
    help="Ask everybody for it (or $DESCRY_TOKEN); where others can reach it, one is made.",
)
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="A name by which the server may be asked.")
@click.option(
    "--root",
    "roots",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Let the page index folders in it.",
)
@click.option("--watch", is_flag=True, help="Index what comes to the library's folders, at low priority.")
@click.option(
    "--rerank",
    default="",
    metavar="NAME|FOLDER",
    help="Let the page and programs have the first hundred ordered by this model, as descry search --rerank.",
)
@click.option("--log", is_flag=True, help="Write a line of JSON a request, without what was asked.")
@click.option("--log-queries", is_flag=True, help="The same with what was asked in addresses.")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@device_option
@limit_options
@click.pass_context
def serve(
    ctx: click.Context,
    host: str,
    port: int,
    token: str | None,
    hosts: tuple[str, ...],
    roots: tuple[Path, ...],
    watch: bool,
    rerank: str,
    log: bool,
    log_queries: bool,
    show: bool,
    device: str,
) -> None:
    """Serve a page to browse and search the library, and a REST interface for programs.

    Only programs of this machine can reach it, unless --host names another address; then the address that is
    printed holds a token. Ctrl-C stops it.

    \b
    descry serve --open
    """
    from search.web.server import serve as run

    code = run(
        ctx.obj,
        host=host,
        port=port,
        token=token,
        hosts=hosts,
        roots=roots,
        watch=watch,
        rerank=rerank,
        log="queries" if log_queries else "requests" if log else "",
        show=show,
        device=device,
    )
    ctx.exit(code)


@click.command()
@device_option
@limit_options
@click.pass_obj
def mcp(library: Path | str, device: str) -> None:
    """Answer an assistant that speaks MCP (Model Context Protocol) on standard input and output.

    It may search, see small previews and read facts, and change nothing. An assistant's configuration names the
    command:

    \b
    {"mcpServers": {"photos": {"command": "descry", "args": ["mcp"]}}}

    \b
    descry mcp --device cpu
    """
    from indexer.errors import QueryError

    try:
        from search.mcp import serve
    except ImportError as error:
        raise QueryError("Assistants are answered by the package mcp: pip install 'descry[mcp]'.") from error
    serve(library, device=device)

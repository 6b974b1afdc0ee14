"""`descry serve`: the page and the REST interface."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("--port", default=7700, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--token", metavar="WORDS", help="Ask everybody for it; where others can reach it, one is made.")
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="A name by which the server may be asked.")
@click.option(
    "--root",
    "roots",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Let the page index folders in it.",
)
@click.option("--log", is_flag=True, help="Write a line of JSON a request, without what was asked.")
@click.option("--log-queries", is_flag=True, help="The same with what was asked in addresses.")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="cpu, cuda, mps ...")
@click.pass_context
def serve(
    ctx: click.Context,
    host: str,
    port: int,
    token: str | None,
    hosts: tuple[str, ...],
    roots: tuple[Path, ...],
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
        log="queries" if log_queries else "requests" if log else "",
        show=show,
        device=device,
    )
    ctx.exit(code)

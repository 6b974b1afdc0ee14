"""What the commands that search have in common: their options, and how questions become printed answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.errors import QueryError
from indexer.library import Library
from search.filters import FIELDS, Field, Filter, negated
from search.output import FORMATS, records
from search.present import outlets
from search.query import BY_RELEVANCE, ORDERS

if TYPE_CHECKING:
    from search.engine import Engine
    from search.hits import Hit
    from search.query import Query

# Questions of a file that are embedded together: keeps the towers busy, and answers come before the file ends.
AT_ONCE = 64

# What can be asked for beside the question, by the fields of `Query`, each a flag.
WAYS = {
    "relevant": ("--relevant", "Only what fits, however few; each with the probability that it does."),
    "unique": ("--unique", "Fold what is nearly the same into one, and count it."),
    "diverse": ("--diverse", "Prefer variety among what fits."),
    "by_words": ("--words", "Look the words up too: in names of files and folders, captions and texts."),
}

Command = Callable[..., Any]
Question = str | tuple[str, ...]
Ask = Callable[[Question], "Query"]
Find = Callable[["Engine", "list[Query]"], "list[list[Hit]]"]


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for beside the question: `asked` are the fields of `Query`, the others say how to answer."""

    asked: Mapping[str, Any]
    form: str
    queries_from: Iterable[str] | None
    device: str
    outlets: Mapping[str, Any] = field(default_factory=dict)


def search_options(*, k: int, wanted: str) -> Callable[[Command], Command]:
    """Gives a command the options of searching, handed over as one `Options`."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def gathered(*arguments: Any, **values: Any) -> Any:
            answering = {name: values.pop(name) for name in ("form", "queries_from", "device")}
            asked = {name: values.pop(name) for name in ("k", "wanted", "include_self", "sort", *WAYS)}
            asked["filters"] = tuple(_filters(values))
            answering["outlets"] = {
                name: value for name in outlets.OUTLETS if (value := values.pop(_outlet_parameter(name)))
            }
            return command(*arguments, options=Options(asked, **answering), **values)

        decorated: Command = gathered
        for option in reversed([*_options(k, wanted), *_outlet_options(), *_filter_options()]):
            decorated = option(decorated)
        return decorated

    return decorate


def _options(k: int, wanted: str) -> list[Callable[[Command], Command]]:
    return [
        click.option("-k", default=k, show_default=True, type=click.IntRange(min=1), help="Results at most."),
        click.option("--modality", "wanted", default=wanted, show_default=True, metavar="KIND", help="image or text."),
        click.option("--include-self", is_flag=True, help="Let a photo of the library find itself."),
        click.option(
            "--sort",
            default=BY_RELEVANCE,
            show_default=True,
            metavar="ORDER",
            help=f"Or {', '.join(ORDERS)} of all that fits, as --relevant tells; -date: the newest first.",
        ),
        *(click.option(flag, name, is_flag=True, help=help) for name, (flag, help) in WAYS.items()),
        click.option("--format", "form", type=click.Choice(list(FORMATS)), default="table", show_default=True),
        click.option(
            "--queries-from",
            type=click.File("r", encoding="utf-8", errors="replace"),
            metavar="FILE",
            help="Take queries from FILE, one a line (- is stdin), and answer each on a line of JSON.",
        ),
        click.option("--device", default="auto", show_default=True, metavar="NAME", help="cpu, cuda, mps ..."),
    ]


def _outlet_options() -> Iterator[Callable[[Command], Command]]:
    for name, row in outlets.OUTLETS.items():
        kind: dict[str, Any] = {"metavar": row.metavar} if row.metavar else {"is_flag": True}
        yield click.option(f"--{name}", _outlet_parameter(name), help=row.help, **kind)


def _outlet_parameter(outlet: str) -> str:
    return f"outlet_{outlet.replace('-', '_')}"


def filter_options(command: Command) -> Command:
    """Gives a command that asks no question the filters, handed over as `filters`."""

    @wraps(command)
    def gathered(*arguments: Any, **values: Any) -> Any:
        filters = tuple(_filters(values))
        return command(*arguments, filters=filters, **values)

    decorated: Command = gathered
    for option in reversed(_filter_options()):
        decorated = option(decorated)
    return decorated


def _filter_options() -> list[Callable[[Command], Command]]:
    leave_out = "Leave out what a filter lets through, as in --not camera=canon."
    return [
        *(_filter_option(name, field) for name, field in FIELDS.items()),
        click.option("--not", "left_out", multiple=True, metavar="FILTER=VALUE", help=leave_out),
    ]


def _filter_option(name: str, field: Field) -> Callable[[Command], Command]:
    if not field.forms:
        return click.option(f"--{name}", _parameter(name), is_flag=True, help=field.help)
    return click.option(f"--{name}", _parameter(name), multiple=True, metavar=field.metavar, help=field.help)


def _parameter(field: str) -> str:
    return f"filter_{field.replace('-', '_')}"


def _filters(values: dict[str, Any]) -> Iterator[Filter]:
    """The filters among a command's parameters, which they leave."""
    for name in FIELDS:
        given = values.pop(_parameter(name))
        yield from (Filter(name, value) for value in given) if isinstance(given, tuple) else (Filter(name),) * given
    yield from map(negated, values.pop("left_out"))


def like_things(options: Options, **fields: Any) -> Ask:
    """Makes a file or an id, or several of them, a query for what resembles it; `fields` are more of `Query`'s."""
    from search.query import like

    def ask(things: Question) -> Query:
        return like(*([things] if isinstance(things, str) else things), **options.asked, **fields)

    return ask


def answer(
    library: Path,
    question: Question | None,
    options: Options,
    ask: Ask,
    find: Find | None = None,
) -> None:
    """Prints the hits of the question, or of every line of `--queries-from`.

    `ask` makes a question a query, `find` answers several; by default the engine does.
    """
    if options.queries_from is None:
        if question is None:
            raise QueryError("Say which file to start from, or give many with --queries-from FILE.")
        questions: Iterator[Question] = iter([question])
    else:
        questions = (line.strip() for line in options.queries_from if line.strip())
    first = [ask(question) for question in islice(questions, AT_ONCE)]  # before the library: a bad one costs nothing
    chosen = outlets.Chosen(options.outlets, many=options.queries_from is not None)
    with outlets.opened(chosen) as ways, Library.open(library) as opened:
        from search.engine import Engine

        engine = Engine(opened, device=options.device)
        batch = first
        while batch:
            for query, hits in zip(batch, (find or Engine.search_many)(engine, batch), strict=True):
                _note(engine, query, hits)
                _print(query, hits, options)
                ways.take(query.words, hits)
            batch = [ask(question) for question in islice(questions, AT_ONCE)]
        _finish(ways)


def _finish(ways: outlets.Ways) -> None:
    """Says on stderr where the answers went, and ends with 1 if something of them could not be taken along."""
    done, failures = ways.finish()
    for line in [*done, *(f"{failure.path}: {failure.reason}" for failure in failures)]:
        click.echo(line, err=True)
    if failures:
        click.get_current_context().exit(1)


def _print(query: Query, hits: list[Hit], options: Options) -> None:
    if options.queries_from is None:
        click.echo(FORMATS[options.form](hits), nl=False)
    else:
        click.echo(json.dumps({"query": query.words, "hits": records(hits)}, ensure_ascii=False))


def _note(engine: Engine, query: Query, hits: list[Hit]) -> None:
    """Says on stderr what the answer alone does not tell."""
    for sentence in engine.truncated(query):
        click.echo(f"note: only the beginning fits the encoder: {sentence[:60]}…", err=True)
    if not hits:
        click.echo(f"note: {_nothing(query, f'the library {engine.library.path}')}", err=True)


def _nothing(query: Query, where: str) -> str:
    """Why there is no hit, and what would bring some."""
    passes = " and passes the filters" if query.filters else ""
    if query.is_cut:
        cut = "--relevant" if query.relevant else f"--sort {query.sort}"
        return f"nothing fits: no {query.wanted} in {where} fits the query{passes}; without {cut} you see the nearest"
    return f"no {query.wanted} in {where} passes the filters" if passes else f"{where} holds no {query.wanted}"

"""How the commands that search answer: from questions to printed hits, one question or a file of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import click

from indexer.errors import QueryError, SourceError
from indexer.library import Library
from indexer.texts import decoded, short_lines
from search.options import SearchOptions
from search.output import FORMATS, json_text, records, table
from search.present.sinks import Chosen, Sinks, open_sinks
from search.terminal import say, write

if TYPE_CHECKING:
    from search.engine import Engine
    from search.hits import Hit
    from search.query import Query

# Questions of a file that are embedded together: keeps the towers busy, and answers come before the file ends.
AT_ONCE = 64

# Words of a question that are named in a note.
SHOWN = 5

Ask = Callable[[Sequence[str]], "Query"]
Find = Callable[["Engine", "list[Query]"], "list[list[Hit]]"]


class Asked(NamedTuple):
    """A query and where it stands: "" on the command line, else file and line, for messages."""

    query: Query
    place: str = ""


def answer(library: Path, question: Sequence[str], options: SearchOptions, ask: Ask, find: Find | None = None) -> None:
    """Prints the hits of the question, or of every line of `--queries-from`.

    `ask` makes a question a query, `find` answers several; by default the engine does.
    """
    many = options.queries_from is not None
    queries = _queries(options.queries_from, ask) if options.queries_from else iter([Asked(ask(question))])
    batch = list(islice(queries, AT_ONCE))  # before the library: a bad one costs nothing
    chosen = Chosen(options.sinks, many=many)
    notes: Counter[str] = Counter()
    with open_sinks(chosen) as sinks, Library.open(library) as opened:
        from search.engine import Engine

        engine = Engine(opened, device=options.device)
        while batch:
            for (query, _), hits in zip(batch, _found(engine, batch, find or Engine.search_many), strict=True):
                print_hits(hits, options.form, long=options.long) if not many else _print_line(query, hits)
                notes.update(_notes(engine, query, hits, many=many))
                sinks.take(query.words, hits)
            batch = list(islice(queries, AT_ONCE))
        say(*(f"note: {note}{f' ({count} questions)' if many else ''}" for note, count in notes.items()))
        finish(sinks)


def _queries(file: BinaryIO, ask: Ask) -> Iterator[Asked]:
    """The queries of a file's lines. Raises `QueryError`, naming the line."""
    name = getattr(file, "name", "standard input")
    place = f"{name}: "
    try:
        with decoded(file) as text:
            for number, line in short_lines(text):
                if question := line.strip():
                    place = f"{name}, line {number}: "
                    yield Asked(ask([question]), place)
    except (OSError, SourceError, QueryError) as error:
        raise QueryError(f"{place}{error}") from error


def _found(engine: Engine, batch: Sequence[Asked], find: Find) -> list[list[Hit]]:
    """The hits of each query. Raises `QueryError`, naming the line of the first that cannot be answered."""
    try:
        return find(engine, [query for query, _ in batch])
    except QueryError:
        for query, place in batch:
            try:
                find(engine, [query])
            except QueryError as error:
                raise QueryError(f"{place}{error}") from error
        raise


def print_hits(hits: Sequence[Hit], form: str, *, long: bool) -> None:
    """Prints hits in one of `output.FORMATS`."""
    if form == "table":
        write(table(hits, long=long), safe=True)
    else:
        write(FORMATS[form](hits))


def _print_line(query: Query, hits: Sequence[Hit]) -> None:
    write(json_text({"query": query.words, "hits": records(hits)}) + "\n")


def _notes(engine: Engine, query: Query, hits: Sequence[Hit], *, many: bool) -> Iterator[str]:
    """What the answer alone does not tell; of many, what can be counted."""
    for sentence in engine.truncated(query):
        yield "only the beginning fits the encoder" + ("" if many else f": {sentence[:60]}…")
    looked_up = engine.words_that_count(query)
    if looked_up and not many:
        yield f"{_named(looked_up)} looked up in names and captions too; --no-words goes by meaning alone"
    if words := [word for word in engine.not_understood(query) if word not in looked_up]:
        named = "many words" if many else _named(words)
        yield f"the encoder does not know {named}: ask in English; names and captions are looked up"
    if not hits:
        from search.empty import why_empty

        yield why_empty(engine, query, brief=many)
    elif query.is_cut and len(hits) < query.k and not many:
        from search.empty import few_fit

        yield from few_fit(engine, query, len(hits))


def _named(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words[:SHOWN]))


def finish(sinks: Sinks) -> None:
    """Says on stderr where the answers went, and ends with 1 if something of them could not be taken along."""
    done, failures = sinks.finish()
    say(*done, *(f"{failure.path}: {failure.reason}" for failure in failures))
    if failures:
        click.get_current_context().exit(1)

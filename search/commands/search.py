"""The commands that find: `descry search`, `similar`, `describe`, and `list`, which has no question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from indexer.errors import QueryError, SourceError
from indexer.library import Library
from indexer.texts import decoded, short_lines
from search.filters import Filter
from search.options import (
    Output,
    count_option,
    filter_options,
    format_option,
    limit_options,
    long_option,
    modality_option,
    search_options,
    sink_options,
    sort_option,
)
from search.present.formats import FORMATS, json_text, records, table
from search.present.sinks import Sinks, open_sinks
from search.query import PICTURES, Query, like, parse
from search.terminal import say, write

if TYPE_CHECKING:
    from search.engine import Engine
    from search.hits import Hit

# Questions of a file that are embedded together: keeps the towers busy, and answers come before the file ends.
AT_ONCE = 64

# Words of a question that are named in a note.
SHOWN = 5

# A word with a dash before it is no option: those of one letter are followed by nothing or by digits, as in -k10.
_TAKEN_AWAY = re.compile(r"-(?:[^\W\d]{2}|[\d.]+:|[\"/~]|id:)")

PlacedQuery = tuple[str, Query]  # where it stands, "" or file and line, for messages, and the query
Find = Callable[["Engine", list[Query]], "list[list[Hit]]"]


class Asking(click.Command):
    """A command that leaves "-people" to the query, which takes it away."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What follows a blank is no option to click, and nothing to a query."""
        valued = {name for option in self.params if not getattr(option, "is_flag", True) for name in option.opts}
        marked = [
            f" {arg}" if _TAKEN_AWAY.match(arg) and last not in valued else arg
            for last, arg in zip(["", *args], args, strict=False)
        ]
        return super().parse_args(ctx, marked)


@click.command(cls=Asking)
@click.argument("words", nargs=-1, metavar="QUERY...")
@click.option(
    "--spoken",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Ask what is said in a sound file; needs pip install 'descry[speech]'.",
)
@search_options(k=10, wanted=PICTURES)
@click.pass_obj
def search(library: Path, /, words: tuple[str, ...], spoken: Path | None, output: Output, **options: Any) -> None:
    """Find what fits a sentence, a photo, or several of both.

    Words in a row are one sentence; a file is what it shows, id:12 an earlier hit; + and - add and subtract what
    follows, -word just the word; 2: weighs.

    \b
    descry search "two dogs playing in snow -people"
    descry search beach + ./friend.jpg - 0.5:people
    descry search "the beach last summer"
    """
    if spoken is not None:
        words = (*words, _heard(library, spoken))
    # else a file's name may have blanks
    is_one = output.queries_from is None and (len(words) == 1 or not any(" " in word for word in words))
    answer(library, words, output, lambda words: _read(words, **options) if is_one else parse(words, **options))


def _heard(library: Path, recording: Path) -> str:
    """What is said in a sound file, by the model that the library's roots name. Raises `QueryError`."""
    from indexer.modalities.speech import transcript

    with Library.open(library) as opened:
        models = [own.readers["speech"] for own in opened.catalog.files.settings().values() if "speech" in own.readers]
    try:
        said = transcript(recording, *models[:1]).rstrip(".")
    except SourceError as error:
        raise QueryError(f"{recording} cannot be asked: {error}.") from error
    if not said:
        raise QueryError(f"Nothing that can be understood is said in {recording}.")
    say(f"note: heard {said!r}")
    return said


def _read(words: Sequence[str], *, filters: tuple[Filter, ...], **options: Any) -> Query:
    """The query; what it says of when photos were taken, and that they have no colours, are filters."""
    from search.reading import read

    question = " ".join(words).strip()
    rest, found = read(question)
    if not found:
        return parse(words, filters=filters, **options)
    say(*(f"note: {one.note}" for one in found))
    filters = (*filters, *(filter for one in found for filter in one.filters))
    return replace(parse(rest, filters=filters, **options), words=question)


@click.command()
@click.argument("things", nargs=-1, metavar="PHOTO|ID...")
@click.option("--best-of-each", is_flag=True, help="What resembles any of several, instead of all of them together.")
@search_options(k=10, wanted=PICTURES)
@click.pass_obj
def similar(library: Path, /, things: tuple[str, ...], output: Output, **options: Any) -> None:
    """Find photos like a photo or like several: files, which need not be in the library, or ids of earlier hits.

    \b
    descry similar dog.jpg
    descry similar id:12 id:31
    """
    answer(library, things, output, lambda things: like(*things, **options))


@click.command()
@click.argument("photo", required=False, metavar="PHOTO|ID")
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE", help="Choose among the lines of FILE.")
@search_options(k=5, wanted=("text",))
@click.pass_obj
def describe(library: Path, /, photo: str | None, labels: Path | None, output: Output, **options: Any) -> None:
    """Find the sentences that fit a photo, among the indexed texts or the lines of a file.

    \b
    descry describe dog.jpg
    descry describe id:12
    descry describe dog.jpg --labels breeds.txt
    """
    from search.labels import ranker

    find = None if labels is None else ranker(labels)
    answer(library, [] if photo is None else [photo], output, lambda photos: like(*photos, **options), find)


@click.command("list")
@count_option(20, "So many at most.")
@modality_option(PICTURES)
@sort_option("-date", "In this order:")
@format_option(FORMATS)
@long_option
@limit_options
@sink_options
@filter_options
@click.pass_obj
def list_(
    library: Path,
    k: int,
    wanted: tuple[str, ...],
    sort: str,
    form: str,
    long: bool,
    sinks: Mapping[str, Any],
    filters: tuple[Filter, ...],
) -> None:
    """List photos without a question, the newest first, all of them or those that filters let through.

    \b
    descry list --camera "pixel 6" --on 2023-05
    descry list --sort name -k 100 --format paths
    """
    from search.engine import Engine
    from search.no_results import holds_none, nothing_passes

    question = " ".join(f"{filter.field} {filter.value}".strip() for filter in filters) or "everything"
    with open_sinks(sinks) as opened_sinks, Library.open(library) as held:
        engine = Engine(held)
        hits = engine.browse(wanted, filters=filters, sort=sort, k=k)
        total = len(engine.listed(wanted, filters=filters, sort=sort))
        _print(hits, form, long=long)
        if total > len(hits):
            say(f"note: the first {len(hits)} of {total}; -k {total} lists all")
        if not total:
            say(f"note: {nothing_passes(engine, wanted, filters) or holds_none(engine, wanted)}")
        opened_sinks.take(question, hits)
        _finish(opened_sinks)


def answer(
    library: Path,
    question: Sequence[str],
    output: Output,
    ask: Callable[[Sequence[str]], Query],
    find: Find | None = None,
) -> None:
    """Prints the hits of the question, or of every line of `--queries-from`.

    `ask` makes a question a query, `find` answers several; by default the engine does.
    """
    many = output.queries_from is not None
    queries = _queries(output.queries_from, ask) if output.queries_from else iter([("", ask(question))])
    batch = list(islice(queries, AT_ONCE))  # before the library: a bad one costs nothing
    notes: Counter[str] = Counter()
    with open_sinks(output.sinks, many=many) as sinks, Library.open(library) as opened:
        from search.engine import Engine

        engine = Engine(opened, device=output.device)
        while batch:
            if any(engine.has_to_learn(query) for _, query in batch):
                say(f"note: {opened.encoder_name} learns other languages, once; this takes a minute or more")
            for (_, query), hits in zip(batch, _found(engine, batch, find or Engine.search_many), strict=True):
                if many:
                    write(json_text({"query": query.words, "hits": records(hits)}) + "\n")
                else:
                    _print(hits, output.form, long=output.long)
                notes.update(_notes(engine, query, hits, many=many))
                sinks.take(query.words, hits)
            batch = list(islice(queries, AT_ONCE))
        say(*(f"note: {note}{f' ({count} questions)' if many else ''}" for note, count in notes.items()))
        _finish(sinks)


def _queries(file: BinaryIO, ask: Callable[[Sequence[str]], Query]) -> Iterator[PlacedQuery]:
    """The queries of a file's lines. Raises `QueryError`, naming the line."""
    name = getattr(file, "name", "standard input")
    place = f"{name}: "
    try:
        with decoded(file) as text:
            for number, line in short_lines(text):
                if question := line.strip():
                    place = f"{name}, line {number}: "
                    yield place, ask([question])
    except (OSError, SourceError, QueryError) as error:
        raise QueryError(f"{place}{error}") from error


def _found(engine: Engine, batch: Sequence[PlacedQuery], find: Find) -> list[list[Hit]]:
    """The hits of each query. Raises `QueryError`, naming the line of the first that cannot be answered."""
    try:
        return find(engine, [query for _, query in batch])
    except QueryError:
        for place, query in batch:
            try:
                find(engine, [query])
            except QueryError as error:
                raise QueryError(f"{place}{error}") from error
        raise


def _print(hits: Sequence[Hit], form: str, *, long: bool) -> None:
    """Prints hits in one of `formats.FORMATS`."""
    if form == "table":
        write(table(hits, long=long), safe=True)
    else:
        write(FORMATS[form](hits))


def _notes(engine: Engine, query: Query, hits: Sequence[Hit], *, many: bool) -> Iterator[str]:
    """What the answer alone does not tell; of many, what can be counted."""
    for sentence in engine.truncated(query):
        yield "only the beginning fits the encoder" + ("" if many else f": {sentence[:60]}…")
    looked_up = engine.words_that_count(query)
    if looked_up and not many:
        yield f"{_named(looked_up)} looked up in names and captions too; --no-words goes by meaning alone"
    if engine.in_other_languages(query):
        yield "read as another language than English"
    if '"' in query.words or not query.words.isascii():
        from search.lexical import quoted

        if (texts := quoted(query.words)) and not any(engine.library.catalog.words.counts()):
            named = "what is quoted" if many else _named(texts)
            yield f"{named} is looked for by meaning, in names and in captions: `descry ocr` reads text in photos"
    if words := [word for word in engine.not_understood(query) if word not in looked_up]:
        named = "many words" if many else _named(words)
        from search.languages import advice

        yield f"the encoder does not know {named}: {advice()}; names and captions are looked up"
    if not hits:
        from search.no_results import why_empty

        yield why_empty(engine, query, brief=many)
    elif query.is_cut and len(hits) < query.k and not many:
        from search.no_results import few_fit

        yield from few_fit(engine, query, len(hits))


def _named(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words[:SHOWN]))


def _finish(sinks: Sinks) -> None:
    """Says on stderr where the answers went, and ends with 1 if something of them could not be taken along."""
    done, failures = sinks.finish()
    say(*done, *(f"{failure.path}: {failure.reason}" for failure in failures))
    if failures:
        click.get_current_context().exit(1)

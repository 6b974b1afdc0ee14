"""`descry search`: photos from sentences and photos."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from search.answering import answer
from search.filters import Filter
from search.options import SearchOptions, search_options
from search.query import Query, parse_terms
from search.terminal import say

# A word with a dash before it is no option: those of one letter are followed by nothing or by digits, as in -k10.
_TAKEN_AWAY = re.compile(r"-(?:[^\W\d]{2}|[\d.]+:|[\"/~]|id:)")


class Asking(click.Command):
    """A command that leaves "-people" to the query, which takes it away."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What follows a blank is no option to click, and nothing to a query."""
        valued = {name for option in self.params if not getattr(option, "is_flag", True) for name in option.opts}
        before = ["", *args]
        marked = [
            f" {arg}" if _TAKEN_AWAY.match(arg) and last not in valued else arg
            for last, arg in zip(before, args, strict=False)
        ]
        return super().parse_args(ctx, marked)


@click.command(cls=Asking)
@click.argument("words", nargs=-1, metavar="QUERY...")
@search_options(k=10, wanted="image")
@click.pass_obj
def search(library: Path, words: tuple[str, ...], options: SearchOptions) -> None:
    """Find what fits a sentence, a photo, or several of both.

    Words in a row are one sentence; a file is what it shows, id:12 an earlier hit; + and - add and subtract what
    follows, -word just the word; 2: weighs.

    \b
    descry search "two dogs playing in snow -people"
    descry search beach + ./friend.jpg - 0.5:people
    descry search "the beach last summer"
    """
    answer(library, words, options, lambda words: _query(words, options))


def _query(words: Sequence[str], options: SearchOptions) -> Query:
    """The query; a question that ends with a period, as in "the beach last summer", is about photos of that time."""
    question = " ".join(words).strip()
    is_one = len(words) == 1 or not any(" " in word for word in words)  # else a file's name may have blanks
    if is_one and options.queries_from is None:
        from search.dates import in_question

        if found := in_question(question):
            rest, days, said = found
            say(f"note: {said!r} is read as --on {str(days)!r}; within quotes it stays a part of the sentence")
            options = replace(options, filters=(*options.filters, Filter("on", str(days))))
            return options.query(parse_terms([rest]), question)
    return options.query(parse_terms(words), question)

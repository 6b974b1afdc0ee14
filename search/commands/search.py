"""`descry search`: photos from sentences and photos."""

from __future__ import annotations

import re
from pathlib import Path

import click

from search.answering import answer
from search.options import SearchOptions, search_options
from search.query import parse_terms

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
    """
    answer(library, words, options, lambda words: options.query(parse_terms(words), " ".join(words).strip()))

"""`descry search`: photos from sentences and photos."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from search.asking import Options, answer, search_options

if TYPE_CHECKING:
    from search.query import Query

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
def search(library: Path, words: tuple[str, ...], options: Options) -> None:
    """Find what fits a sentence, a photo, or several of both.

    Words in a row are one sentence; a file is what it shows, id:12 an earlier hit; + and - add and subtract what
    follows, -word just the word; 2: weighs.

    \b
    descry search "two dogs playing in snow -people"
    descry search beach + ./friend.jpg - 0.5:people
    """
    from search.query import parse

    def ask(question: str | tuple[str, ...]) -> Query:
        return parse(question, **options.asked)

    answer(library, words, options, ask)

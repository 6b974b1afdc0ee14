"""A conversation about photos: every line is a new question or refines the last one. Pure: nothing is asked or shown.

`step` takes a conversation and a line and gives the conversation that follows, whose query is to be answered next.
What can be said is the table `REFINEMENTS`; a line of no such form is a question of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import NamedTuple

from indexer.errors import QueryError
from search.filters import FIELDS, SAME_TYPE, Filter
from search.hits import Hit
from search.query import BY_RELEVANCE, ORDERS, PICTURES, STORED, Query, Term, parse

# Hits that are shown at once.
PAGE = 10

# What a word alone turns on or off, fields of `Query`; and what a word looks among.
TOGGLES = ("relevant", "unique", "diverse")
KINDS = {
    "pictures": PICTURES,
    "photos": ("image",),
    "texts": ("text",),
    "films": ("video",),
    "speech": ("speech",),
    "captions": ("caption",),
}


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was asked, the last question last, and what was found; hits before `first` were shown before."""

    queries: tuple[Query, ...] = ()
    hits: tuple[Hit, ...] = ()
    first: int = 0

    @property
    def query(self) -> Query:
        """The question at hand. Raises `QueryError` if nothing was asked yet."""
        if not self.queries:
            raise QueryError("Ask something first, as in: a dog on the beach")
        return self.queries[-1]

    def hit(self, number: int) -> Hit:
        """The hit of a number that was shown. Raises `QueryError` if there is none."""
        if not 1 <= number <= len(self.hits):
            raise QueryError(f"There is no number {number}: what was found last goes from 1 to {len(self.hits)}.")
        return self.hits[number - 1]

    def ask(self, query: Query) -> Conversation:
        """Goes on with a new question; its answer is not known yet."""
        return Conversation((*self.queries, query))

    def answered(self, hits: Iterable[Hit]) -> Conversation:
        """Knows the answer."""
        return replace(self, hits=tuple(hits))


class Refinement(NamedTuple):
    """A form that a line may have: how it begins, an example of what follows, what it does, its pattern and effect."""

    start: str
    example: str
    help: str
    pattern: str
    follow: Callable[[Conversation, str], Conversation]


def step(conversation: Conversation, line: str) -> Conversation:
    """The conversation after a line. Raises `QueryError` for what cannot be done.

    >>> talk = step(step(Conversation(), "a beach"), "without people")
    >>> talk.query.words, [term.weight for term in talk.query.terms]
    ('a beach, without people', [1.0, -1.0])
    """
    line = line.strip()
    for refinement in REFINEMENTS:
        if match := re.fullmatch(refinement.pattern, line, flags=re.IGNORECASE):
            said = next((group for group in match.groups() if group), "")
            return refinement.follow(conversation, said)
    literal = re.fullmatch(r"find\s+(.+)", line, flags=re.IGNORECASE)
    if literal is None and conversation.queries:
        _check_spelling(line)
    if literal:
        return conversation.ask(parse(literal[1], k=PAGE))
    from search.reading import read  # late: dates are many words

    rest, found = read(line)
    return conversation.ask(parse(rest, k=PAGE, filters=tuple(filter for one in found for filter in one.filters)))


def _check_spelling(line: str) -> None:
    """Raises `QueryError` for what is nearly a refinement: a slip is no new question."""
    word, _, rest = line.partition(" ")
    if rest.strip():
        keywords = [row.start.split()[0] for row in REFINEMENTS if row.example]
    else:
        keywords = [*TOGGLES, *KINDS, *(row.start.strip() for row in REFINEMENTS if not row.example)]
    for keyword in keywords:
        if len(keyword) > 3 and _is_slip(word.lower(), keyword):
            raise QueryError(f"Did you mean {f'{keyword} {rest}'.strip()!r}? To look for what you typed: find {line}")


def _is_slip(word: str, keyword: str) -> bool:
    """Whether a word is a keyword with letters swapped, or one too many or few; of a long one, or another one.

    >>> [word for word in ("onyl", "onl", "bank", "snow", "witout", "expect") if _is_slip(word, "only")]
    ['onyl', 'onl']
    """
    if word == keyword:
        return False
    if len(word) == len(keyword):
        swapped = any(
            keyword[:i] + keyword[i + 1] + keyword[i] + keyword[i + 2 :] == word for i in range(len(word) - 1)
        )
        return swapped or (len(word) > 5 and SequenceMatcher(None, word, keyword).ratio() > 0.8)
    longer, shorter = (word, keyword) if len(word) > len(keyword) else (keyword, word)
    return any(longer[:place] + longer[place + 1 :] == shorter for place in range(len(longer)))


def breadcrumb(query: Query) -> str:
    """The question in words and what narrows it now, as the prompt shows it above an answer."""
    return ", ".join(
        [
            query.words,
            *(f"{'except' if one.negated else 'only'} {one.field} {one.value}".strip() for one in query.filters),
            *(["texts"] if query.wanted == ("text",) else []),
            *(name for name in TOGGLES if getattr(query, name)),
            *([f"by {query.sort}"] if query.is_sorted else []),
        ]
    )


def _changed(conversation: Conversation, **fields: object) -> Conversation:
    """Asks the same with other fields."""
    return conversation.ask(replace(conversation.query, **fields))  # type: ignore[arg-type]


def _more_like(conversation: Conversation, numbers: str) -> Conversation:
    query = conversation.query  # nothing asked is said before nothing found
    hits = [conversation.hit(int(number)) for number in re.findall(r"\d+", numbers)]
    terms = tuple(Term(STORED, hit.item.id) for hit in hits if hit.item.id is not None)
    return _changed(conversation, terms=terms, words=f"{query.words}, more like {numbers}")


def _with(conversation: Conversation, words: str) -> Conversation:
    query = conversation.query
    return _changed(conversation, terms=(*query.terms, *parse(f"+ {words}").terms), words=f"{query.words}, and {words}")


def _without(conversation: Conversation, words: str) -> Conversation:
    query = conversation.query
    terms = (*query.terms, *parse(f"- {words}").terms)
    return _changed(conversation, terms=terms, words=f"{query.words}, without {words}")


def _only(conversation: Conversation, words: str) -> Conversation:
    """One filter a field: those of one field would be alternatives, and a second "only" means to narrow."""
    new = filter_of(words)
    kept = [filter for filter in conversation.query.filters if filter.field != new.field or filter.negated]
    return _changed(conversation, filters=(*kept, new))


def _except(conversation: Conversation, words: str) -> Conversation:
    return _changed(conversation, filters=(*conversation.query.filters, replace(filter_of(words), negated=True)))


def filter_of(words: str) -> Filter:
    """The filter that words mean: a field and its value, or a value that says by its form which field it is.

    Raises `QueryError` if the value is of no form that the field accepts.

    >>> filter_of("camera canon"), filter_of("2023-05").field, filter_of("jpg").field, filter_of("holiday").value
    (Filter(field='camera', value='canon', negated=False), 'on', 'type', '*holiday*')
    """
    field, _, value = words.partition(" ")
    if field in FIELDS and (value or not FIELDS[field].forms):
        return Filter(field, value.strip())
    if re.fullmatch(r"\d{4}(-\d\d?){0,2}", words):
        return Filter("on", words)
    if chosen := next((name for name, field in FIELDS.items() if words in field.choices), None):
        return Filter(chosen, words)
    if words.lower().removeprefix(".") in SAME_TYPE or re.fullmatch(r"\.\w+", words):
        return Filter("type", words)
    return Filter("in", words) if words[0] in "/~." else Filter("path", f"*{words}*")


def _no_filters(conversation: Conversation, _: str) -> Conversation:
    return _changed(conversation, filters=())


def _next(conversation: Conversation, _: str) -> Conversation:
    """The same question with room for more; not a question to come back to."""
    query, shown = conversation.query, len(conversation.hits)
    if shown < query.k:
        raise QueryError("That was all.")
    longer = replace(query, k=query.k + PAGE)
    return Conversation((*conversation.queries[:-1], longer), conversation.hits, shown)


def _show(conversation: Conversation, number: str) -> Conversation:
    return _changed(conversation, k=int(number))


def _order(conversation: Conversation, order: str) -> Conversation:
    return _changed(conversation, sort=order.lower())


def _kind(conversation: Conversation, kind: str) -> Conversation:
    return _changed(conversation, wanted=KINDS[kind.lower()])


def _toggle(conversation: Conversation, name: str) -> Conversation:
    return _changed(conversation, **{name.lower(): not getattr(conversation.query, name.lower())})


def _back(conversation: Conversation, _: str) -> Conversation:
    if len(conversation.queries) < 2:
        raise QueryError("There is no question before this one.")
    return Conversation(conversation.queries[:-1])


_NUMBERS = r"(\d{1,9}(?:(?:\s*,\s*|\s+and\s+|\s+)\d{1,9})*)"

# The first form that a line has is meant.
REFINEMENTS: tuple[Refinement, ...] = (
    Refinement("more like ", "3", "what resembles hits, one or several", rf"(?:more\s+)?like\s+{_NUMBERS}", _more_like),
    Refinement("without ", "people", "take something away", r"(?:without\s+|-\s*)(.+)", _without),
    Refinement("and ", "on the beach", "add something; also: with", r"(?:and\s+|with\s+|\+\s*)(.+)", _with),
    Refinement("only ", "2023", "a date, shape, type, folder or filter, as: only camera canon", r"only\s+(.+)", _only),
    Refinement("except ", "camera canon", "leave out what a filter lets through", r"except\s+(.+)", _except),
    Refinement("no filters", "", "look everywhere again", r"no filters", _no_filters),
    Refinement("next", "", "more of the same; also: more", r"next|more", _next),
    Refinement("show ", "20", "so many at once", r"show\s+(\d{1,9})", _show),
    Refinement(
        "by ",
        "-date",
        f"another order: {', '.join((BY_RELEVANCE, *ORDERS))}; -date: the newest first",
        rf"(?:sort\s+)?by\s+({BY_RELEVANCE}|-?(?:{'|'.join(ORDERS)}))",
        _order,
    ),
    Refinement("texts", "", "the same among texts; photos: among photos", rf"({'|'.join(KINDS)})", _kind),
    Refinement("relevant", "", "only what fits, or all; also: unique, diverse", rf"({'|'.join(TOGGLES)})", _toggle),
    Refinement("back", "", "the question before", r"back", _back),
)


def continuations(line: str, *, folders: Iterable[str] = (), tags: Iterable[str] = ()) -> Iterator[str]:
    """What a line that is being written may become: whole lines that begin with it.

    >>> list(continuations("only or"))
    ['only orientation landscape', 'only orientation portrait', 'only orientation square']
    """
    beginnings = [refinement.start for refinement in REFINEMENTS]
    values = [
        *(f"{name} {choice}" for name, field in FIELDS.items() for choice in field.choices),
        *(f"{name} " if field.forms else name for name, field in FIELDS.items() if not field.choices),
        *(f"in {folder}" for folder in folders),
        *(f"tag {tag}" for tag in tags),
    ]
    filters = [f"{word} {value}" for word in ("only", "except") for value in sorted(values)]
    return (whole for whole in [*beginnings, *filters] if whole.startswith(line) and whole != line)

"""Why an answer is empty: which filter let nothing through, what there is instead, or that nothing fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from difflib import get_close_matches
from typing import TYPE_CHECKING

from search.dates import Period, period
from search.filters import Filter
from search.query import STRICTNESS

if TYPE_CHECKING:
    from search.engine import Engine
    from search.query import Query

# Values of which so many are named, the likest or commonest.
NAMED = 5

# Hits of a looser cut of which so many are counted.
COUNTED = 1000

# Filters by dates: each tells a range.
DATES = ("on", "after", "before")


def why_empty(engine: Engine, query: Query, *, uncut: str = "", brief: bool = False) -> str:
    """Why a query found nothing, in a line, and what would find something; `uncut` says how to see the nearest.

    If `brief`, without what a looser cut would find: of many queries, that would differ and take its time.
    """
    where = f"the library {engine.library.path}"
    wanted = engine.held(query.wanted)
    if not len(engine.listed(wanted)):
        return holds_none(engine, wanted)
    if reason := nothing_passes(engine, query.wanted, tuple(query.filters)):
        return reason
    if query.is_cut:
        cut = f"--sort {query.sort}" if query.is_sorted else "--relevant"
        uncut = uncut or f"without {cut} you see the nearest"
        return f"no {_said(wanted)} in {where} surely fits the query; {'' if brief else _looser(engine, query)}{uncut}"
    return f"{where} holds no {_said(wanted)} beside what was asked about; --include-self shows that"


def holds_none(engine: Engine, wanted: Sequence[str]) -> str:
    """That the library holds nothing of a modality, and what it holds instead."""
    counts = engine.library.catalog.counts()
    others = " and ".join(f"{count} of {modality} (--modality {modality})" for modality, count in counts.items())
    return f"the library {engine.library.path} holds no {_said(engine.held(wanted))}" + (
        f", but {others}" if others else ""
    )


def few_fit(engine: Engine, query: Query, found: int) -> Iterator[str]:
    """That fewer fit than were asked for, and what would show more, in a line; nothing if a looser cut finds no more.

    `found` is how many hits the query has, more than none.
    """
    if more := _looser(engine, query):
        cut = f"--sort {query.sort}" if query.is_sorted else "--relevant"
        yield f"{found} of the nearest surely fit{'s' * (found == 1)}; {more}without {cut} you see the nearest"


def _looser(engine: Engine, query: Query) -> str:
    """How many hits a looser cut finds, as the beginning of a sentence; "" if that is no more."""
    loosely = STRICTNESS[0]
    if query.fits == loosely:
        return ""
    found, more = (
        len(engine.search(replace(query, k=COUNTED, relevant=True, fits=fits))) for fits in (query.fits, loosely)
    )
    return f"--fits {loosely} finds {more}{' or more' * (more == COUNTED)}; " if more > found else ""


def nothing_passes(engine: Engine, wanted: Sequence[str], filters: Sequence[Filter]) -> str:
    """Which filters let nothing through, and what there is; "" if something passes."""
    if not filters or _count(engine, wanted, filters):
        return ""
    if contradiction := _contradiction(filters):
        return contradiction
    groups: dict[object, list[Filter]] = {}
    for filter in filters:
        groups.setdefault(filter if filter.negated else filter.field, []).append(filter)
    for group in groups.values():
        if not _count(engine, wanted, group):
            return _nothing_of(engine, wanted, group)
    alone = ", ".join(f"{_named(group)} {_count(engine, wanted, group)}" for group in groups.values())
    return f"no {_said(engine.held(wanted))} passes all filters together; each alone lets through: {alone}"


def _count(engine: Engine, wanted: Sequence[str], filters: Sequence[Filter]) -> int:
    return len(engine.passing(wanted, filters))


def _said(wanted: Sequence[str]) -> str:
    return " or ".join(wanted)


def _named(group: Sequence[Filter]) -> str:
    return " or ".join(f"{'not ' * one.negated}{one.field} {one.value}".strip() for one in group)


def _contradiction(filters: Sequence[Filter]) -> str:
    """That dates exclude each other; those of one field are alternatives."""
    dates = [filter for filter in filters if filter.field in DATES and not filter.negated]
    begin = min((period(one.value)[0] for one in dates if one.field == "after"), default=date.min)
    end = max((period(one.value)[0] for one in dates if one.field == "before"), default=date.max)
    on = [period(one.value) for one in dates if one.field == "on"] or [Period(date.min, date.max)]
    if any(max(first, begin) < min(behind, end) for first, behind in on):
        return ""
    return f"{' and '.join(f'--{one.field} {one.value}' for one in dates)} contradict each other: no day is in all"


def _nothing_of(engine: Engine, wanted: Sequence[str], group: Sequence[Filter]) -> str:
    """What is wrong with filters of one field that let nothing through, and what there is of it."""
    field, named = group[0].field, _named(group)
    wanted = engine.held(wanted)
    nothing = f"no {_said(wanted)} passes {named}"
    if group[0].negated:
        return f"{nothing}: it is true of all of them"
    if field == "in":
        roots = ", ".join(str(root) for root in engine.library.catalog.files.roots())
        return f"nothing below {group[0].value} is indexed: `descry index` adds it; there are: {roots}"
    if field in DATES:
        months = list(engine.facets(wanted)["on"])
        return f"{nothing}; there are photos from {months[-1]} to {months[0]}" if months else nothing
    values = list(engine.facets(wanted).get(field, ()))
    if values:
        near = get_close_matches(group[0].value, values, NAMED, cutoff=0.4)
        shown = list(dict.fromkeys([*near, *values]))[:NAMED]
        more = f" and {len(values) - len(shown)} more" if len(values) > len(shown) else ""
        return f"no {field} {group[0].value!r}; there are: {', '.join(shown)}{more}"
    if field == "near":
        known = sum(map(engine.library.catalog.listing.located, wanted)) or "none"
        return f"{nothing}; of {known} it is known where they were taken"
    return nothing if field not in ("camera", "lens", "tag") else f"{nothing}: no {_said(wanted)} has a {field}"

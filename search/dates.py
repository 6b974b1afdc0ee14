"""Dates as people say them, in English and German: "May 2023", "2020..2022", "last summer", "seit 2018".

A period is a half-open range of days. `period` reads one, and raises `ValueError` for what is none; `in_question` finds
one at the end of a question, and only behind a word that announces it, so that "may flowers" stays a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

DAY = timedelta(1)

_MONTHS = (
    "jan january januar jänner", "feb february februar", "mar march märz mrz", "apr april", "may mai",
    "jun june juni", "jul july juli", "aug august", "sep sept september", "oct october okt oktober",
    "nov november", "dec december dez dezember",
)  # fmt: skip
MONTHS = {name: number for number, names in enumerate(_MONTHS, 1) for name in names.split()}

_WEEKDAYS = (
    "monday montag", "tuesday dienstag", "wednesday mittwoch", "thursday donnerstag", "friday freitag",
    "saturday samstag sonnabend", "sunday sonntag",
)  # fmt: skip
WEEKDAYS = {name: number for number, names in enumerate(_WEEKDAYS) for name in names.split()}

# The first month of each season, as meteorologists of the northern hemisphere count; a winter ends in the next year.
SEASONS = {
    "spring": 3, "frühling": 3, "frühjahr": 3, "summer": 6, "sommer": 6, "autumn": 9, "fall": 9, "herbst": 9,
    "winter": 12,
}  # fmt: skip

# Feasts that lie on the same days each year: month, day, and how many days.
FEASTS = {
    "christmas": (12, 24, 3), "xmas": (12, 24, 3), "weihnachten": (12, 24, 3), "new year": (12, 31, 2),
    "new years eve": (12, 31, 1), "new year's eve": (12, 31, 1), "silvester": (12, 31, 1), "neujahr": (1, 1, 1),
    "halloween": (10, 31, 1), "valentines day": (2, 14, 1), "valentine's day": (2, 14, 1), "valentinstag": (2, 14, 1),
}  # fmt: skip
EASTER = ("easter", "ostern")

_LAST = "last|past|previous|letzten?|letzter|letztes|vergangenen?|vergangenes"
_THIS = "this|diesen?|dieser|dieses"
_UNITS = {
    "day": "days? tage?n?", "week": "weeks? wochen?", "month": "months? monate?n?", "year": "years? jahre?n?",
}  # fmt: skip

_AFTER, _BEFORE, _SINCE, _UNTIL = "after|nach", "before|vor", "since|from|seit|ab", "until|till|bis"

# Without one of these no question names a period: most are answered before the longer pattern is compiled (2 ms).
_HINT = rf"\d{{4}}|\b(?:{_LAST}|{_THIS}|yesterday|today|gestern|heute|vorgestern|ago)\b"

# What announces a period in a question. A bare month or season needs its year there.
_CUES = (
    rf"\s(?:(?:in|im|on|am|during|of|taken|von|vom|aus|from)\s+(?:the\s+|dem\s+|der\s+)?)?"
    rf"(?P<period>(?:{_AFTER}|{_BEFORE}|{_SINCE}|{_UNTIL}|between|zwischen|{_LAST}|{_THIS})\s.+)$"
    rf"|\s(?:in|im|on|am|during|from|taken|von|vom|aus|an|at|zu)\s+(?:the\s+|dem\s+|der\s+|in\s+)?(?P<named>\S.*)$"
    r"|\s(?P<relative>yesterday|today|gestern|heute|vorgestern|the day before yesterday|(?:\d+|two|three) \w+ ago)$"
)


class Period(NamedTuple):
    """Days from `first` to the one before `behind`."""

    first: date
    behind: date

    def __str__(self) -> str:
        last = self.behind - DAY
        if self.first == date.min:
            return f"until {last}"
        if self.behind == date.max:
            return f"since {self.first}"
        return str(self.first) if last == self.first else f"{self.first} to {last}"


# What lies on one side of a period, by the words that open it.
_ONE_SIDED: dict[str, Callable[[Period], Period]] = {
    _AFTER: lambda inside: Period(inside.behind, date.max),
    _BEFORE: lambda inside: Period(date.min, inside.first),
    _SINCE: lambda inside: Period(inside.first, date.max),
    _UNTIL: lambda inside: Period(date.min, inside.behind),
}


def period(text: str, today: date | None = None) -> Period:
    """The days that an expression means. Raises `ValueError` for what is none, and for one that ends before it begins.

    >>> print(period("2023-05"), period("May 2023") == period("2023/05") == period("Mai 2023"))
    2023-05-01 to 2023-05-31 True
    >>> print(period("last summer", date(2026, 4, 2)), "|", period("2020..2022"), "|", period("since 2018"))
    2025-06-01 to 2025-08-31 | 2020-01-01 to 2022-12-31 | since 2018-01-01
    """
    words = " ".join(text.casefold().replace(",", " ").replace("\N{EN DASH}", "-").split())
    days = _range(words, today or date.today())
    if days is None or days.first >= days.behind:
        raise ValueError(f"{text!r} is no date")
    return days


def in_question(question: str, today: date | None = None) -> tuple[str, Period, str] | None:
    """A question without the period at its end, the period, and how it was put; None if it names none.

    >>> in_question("the beach last summer", date(2026, 4, 2))[0::2]
    ('the beach', 'last summer')
    >>> in_question("may flowers in a vase") is in_question("two men in spring") is None
    True
    """
    if not re.search(_HINT, question.casefold()):
        return None
    today = today or date.today()
    cues = re.compile(_CUES)
    # from the left, so that the longest phrase that is a period is found
    for start in [match.start() for match in re.finditer(r"\s", question)]:
        match = cues.match(question, start)
        if match is None:
            continue
        phrase = match["period"] or match["named"] or match["relative"]
        if not (match["relative"] or re.search(r"\d{4}", phrase) or _is_relative(phrase)):
            continue  # "in spring", "before christmas": of which year is not said
        try:
            return question[:start].rstrip(" ,"), period(phrase, today), question[start:].strip()
        except ValueError:
            continue
    return None


def _is_relative(phrase: str) -> bool:
    return re.match(rf"(?:{_LAST}|{_THIS})\s|yesterday|today|gestern|heute", phrase.casefold()) is not None


def _range(words: str, today: date) -> Period | None:
    """A period, or what lies between two or on one side of one."""
    if match := re.fullmatch(r"(?:between|zwischen)\s+(.+?)\s+(?:and|und)\s+(.+)", words):
        return _from_to(match[1], match[2], today)
    between = re.fullmatch(r"(?:(?:from|von|vom)\s+)?(.+?)(?:\s*\.\.+\s*|\s+(?:to|until|till|bis|-)\s+)(.+)", words)
    if between and (both := _from_to(between[1], between[2], today)):
        return both
    if match := re.fullmatch(r"(\d{4})\s*-\s*(\d{4})", words):
        return _from_to(match[1], match[2], today)
    for opening, one_side in _ONE_SIDED.items():
        if (match := re.fullmatch(rf"(?:{opening})\s+(.+)", words)) and (inside := _named(match[1], today)):
            return one_side(inside)
    return _named(re.sub(r"^(?:in|im|on|am|during|the|the year)\s+", "", words), today)


def _from_to(start: str, end: str, today: date) -> Period | None:
    last = _named(end, today)
    first = _named(start, today)
    if last is None or first is None:
        # "May to July 2023", "between 3 and 5 May 2023": what the first lacks is the second's
        tail = re.search(r"(?:\s+[^\W\d]+)?\s+\d{4}$", end)
        first = tail and _named(start + tail[0], today)
    elif not re.search(r"\d{4}", start) and (year := re.search(r"\d{4}$", end)):
        first = _named(f"{start} {year[0]}", today) or first
    return Period(first.first, last.behind) if first and last else None


def _named(words: str, today: date) -> Period | None:
    """A period with a name: the first reading that fits."""
    readings: tuple[Callable[[str, date], Period | None], ...] = (_numbers, _month, _season, _feast, _relative, _decade)
    for reading in readings:
        try:
            found = reading(words, today)
        except (ValueError, OverflowError):  # the 31st of June, the year 10000
            return None
        if found:
            return found
    return None


def _numbers(words: str, _today: date) -> Period | None:
    """2023, 2023-05, 2023/5/17, 20230517, 17.5.2023, 5.2023."""
    if match := re.fullmatch(r"(\d{4})(?:([-/.])(\d\d?)(?:\2(\d\d?))?)?", words):
        year, _, month, day = match.groups()
    elif match := re.fullmatch(r"(\d{4})(\d\d)(\d\d)", words):
        year, month, day = match.groups()
    elif match := re.fullmatch(r"(?:(\d\d?)\.\s?)?(\d\d?)\.\s?(\d{4})", words):
        day, month, year = match.groups()
    else:
        return None
    if day:
        return _days(date(int(year), int(month), int(day)))
    return _months(int(year), int(month), 1) if month else _years(int(year))


def _month(words: str, today: date) -> Period | None:
    """May 2023, 17 May 2023, May 17th 2023; without a year the latest."""
    name = "|".join(MONTHS)
    day_first = rf"(?:(?P<day>\d\d?)(?:st|nd|rd|th|\.)?\s+(?:of\s+)?)?(?P<month>{name})\.?(?:\s+(?P<year>\d{{4}}))?"
    month_first = rf"(?P<month>{name})\.?\s+(?P<day>\d\d?)(?:st|nd|rd|th)?(?:\s+(?P<year>\d{{4}}))?"
    match = re.fullmatch(day_first, words) or re.fullmatch(month_first, words)
    if match is None:
        return None
    day, month, year = match["day"], match["month"], match["year"]
    number = MONTHS[month]
    first = date(today.year, number, int(day or 1))
    if year is None:
        return _latest(lambda y: _days(first.replace(year=y)) if day else _months(y, number, 1), today)
    return _days(date(int(year), number, int(day))) if day else _months(int(year), number, 1)


def _season(words: str, today: date) -> Period | None:
    """Summer 2021, last winter; "winter 2021" and "winter 2021/22" begin in December 2021."""
    names = "|".join(SEASONS)
    match = re.fullmatch(rf"(?:({_LAST}|{_THIS})\s+)?({names})(?:\s+(?:of\s+)?(\d{{4}})(?:/\d\d(?:\d\d)?)?)?", words)
    if match is None:
        return None
    which, name, year = match.groups()

    def of_year(year: int) -> Period:
        return _months(year, SEASONS[name], 3)

    if year:
        return None if which else of_year(int(year))
    latest = _latest(of_year, today)
    if which and re.fullmatch(_LAST, which) and latest.behind > today:  # it is that season now
        return of_year(latest.first.year - 1)
    return latest


def _feast(words: str, today: date) -> Period | None:
    names = "|".join([*FEASTS, *EASTER])
    match = re.fullmatch(rf"(?:(?:{_LAST})\s+)?({names})(?:\s+(\d{{4}}))?", words)
    if match is None:
        return None
    name, year = match.groups()

    def of_year(year: int) -> Period:
        if name in EASTER:
            return _days(easter(year) - 2 * DAY, 4)  # Good Friday to Easter Monday
        month, day, count = FEASTS[name]
        return _days(date(year, month, day), count)

    return of_year(int(year)) if year else _latest(of_year, today)


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar, by the anonymous algorithm (Meeus, Astronomical Algorithms, 1991)."""
    golden = year % 19
    century, rest = divmod(year, 100)
    moon = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    week = (32 + 2 * (century % 4) + 2 * (rest // 4) - moon - rest % 4) % 7
    month, day = divmod(moon + week - 7 * ((golden + 11 * moon + 22 * week) // 451) + 114, 31)
    return date(year, month, day + 1)


def _relative(words: str, today: date) -> Period | None:
    """Yesterday, last week, this year, the last 3 days, two weeks ago, last Monday."""
    fixed = {"today": 0, "heute": 0, "yesterday": 1, "gestern": 1, "vorgestern": 2, "the day before yesterday": 2}
    if words in fixed:
        return _days(today - fixed[words] * DAY)
    words = re.sub(r"\b(?:two|zwei|a couple of)\b", "2", re.sub(r"\b(?:three|drei|few|paar)\b", "3", words))
    words = re.sub(r"\b(?:an?|one|eine[mnr]?)\b", "1", words)
    if match := re.fullmatch(rf"({_LAST})\s+(?:({'|'.join(WEEKDAYS)})|(weekend|wochenende))", words):
        behind = (today.weekday() - WEEKDAYS[match[2]] - 1) % 7 + 1 if match[2] else (today.weekday() + 1) % 7 + 1
        return _days(today - behind * DAY) if match[2] else _days(today - behind * DAY, 2)
    for unit, names in _UNITS.items():
        name = "|".join(names.split())
        if re.fullmatch(rf"(?:{_THIS})\s+(?:{name})", words):
            return _unit(unit, today, 0)
        if re.fullmatch(rf"(?:{_LAST})\s+(?:{name})", words):
            return _unit(unit, today, 1)
        if match := re.fullmatch(rf"(?:the\s+|den\s+|die\s+)?(?:{_LAST})\s+(\d+)\s+(?:{name})", words):
            return Period(_back(unit, today, int(match[1])), today + DAY)
        if match := re.fullmatch(rf"(\d+)\s+(?:{name})\s+ago|vor\s+(\d+)\s+(?:{name})", words):
            return _unit(unit, today, int(match[1] or match[2]))
    return None


def _decade(words: str, _today: date) -> Period | None:
    match = re.fullmatch(r"(?:the\s+|die\s+)?(\d{3})0(?:'?s|er)", words)
    return Period(date(int(match[1]) * 10, 1, 1), date(int(match[1]) * 10 + 10, 1, 1)) if match else None


def _unit(unit: str, today: date, back: int) -> Period:
    """The day, the week from Monday, the month or the year that lies so many back."""
    if unit == "day":
        return _days(today - back * DAY)
    if unit == "week":
        return _days(today - (today.weekday() + 7 * back) * DAY, 7)
    if unit == "year":
        return _years(today.year - back)
    year, month = divmod(today.year * 12 + today.month - 1 - back, 12)
    return _months(year, month + 1, 1)


def _back(unit: str, today: date, count: int) -> date:
    if unit == "month":
        return _unit(unit, today, count).first.replace(day=min(today.day, 28))
    if unit == "year":
        return today.replace(year=today.year - count, day=min(today.day, 28))
    return today - count * (7 if unit == "week" else 1) * DAY


def _latest(of_year: Callable[[int], Period], today: date) -> Period:
    """The period of this year if it has begun, else that of the last."""
    this = of_year(today.year)
    return this if this.first <= today else of_year(today.year - 1)


def _days(first: date, count: int = 1) -> Period:
    return Period(first, first + count * DAY)


def _months(year: int, month: int, count: int) -> Period:
    behind = year * 12 + month - 1 + count
    return Period(date(year, month, 1), date(behind // 12, behind % 12 + 1, 1))


def _years(year: int) -> Period:
    return Period(date(year, 1, 1), date(year + 1, 1, 1))

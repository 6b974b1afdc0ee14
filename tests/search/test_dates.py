"""Dates as people say them."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from make_photos import with_exif

from search.cli import main
from search.dates import Period, easter, in_question, period

TODAY = date(2026, 11, 28)  # a Saturday


def days(first: str, last: str) -> Period:
    return Period(date.fromisoformat(first), date.fromisoformat(last) + timedelta(1))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2023", "2023-01-01", "2023-12-31"),
        ("2023-5", "2023-05-01", "2023-05-31"),
        ("2020/05", "2020-05-01", "2020-05-31"),
        ("20200507", "2020-05-07", "2020-05-07"),
        ("2023-12-31", "2023-12-31", "2023-12-31"),
        ("17.5.2023", "2023-05-17", "2023-05-17"),
        ("May 2023", "2023-05-01", "2023-05-31"),
        ("  may, 2023 ", "2023-05-01", "2023-05-31"),
        ("17 May 2023", "2023-05-17", "2023-05-17"),
        ("May 17th, 2023", "2023-05-17", "2023-05-17"),
        ("17. Mai 2023", "2023-05-17", "2023-05-17"),
        ("December", "2025-12-01", "2025-12-31"),
        ("november", "2026-11-01", "2026-11-30"),
        ("2020..2022", "2020-01-01", "2022-12-31"),
        ("2020-2022", "2020-01-01", "2022-12-31"),
        ("2020-05 to 2020-07", "2020-05-01", "2020-07-31"),
        ("May to July 2023", "2023-05-01", "2023-07-31"),
        ("between 2018 and 2020", "2018-01-01", "2020-12-31"),
        ("between 3 and 5 May 2023", "2023-05-03", "2023-05-05"),
        ("zwischen Mai 2021 und Juni 2022", "2021-05-01", "2022-06-30"),
        ("von 2018 bis 2020", "2018-01-01", "2020-12-31"),
        ("today", "2026-11-28", "2026-11-28"),
        ("yesterday", "2026-11-27", "2026-11-27"),
        ("vorgestern", "2026-11-26", "2026-11-26"),
        ("last week", "2026-11-16", "2026-11-22"),
        ("this month", "2026-11-01", "2026-11-30"),
        ("last month", "2026-10-01", "2026-10-31"),
        ("letztes Jahr", "2025-01-01", "2025-12-31"),
        ("the last 3 days", "2026-11-25", "2026-11-28"),
        ("2 years ago", "2024-01-01", "2024-12-31"),
        ("vor zwei Jahren", "2024-01-01", "2024-12-31"),
        ("three weeks ago", "2026-11-02", "2026-11-08"),
        ("last monday", "2026-11-23", "2026-11-23"),
        ("last saturday", "2026-11-21", "2026-11-21"),
        ("last weekend", "2026-11-21", "2026-11-22"),
        ("last summer", "2026-06-01", "2026-08-31"),
        ("letzten Sommer", "2026-06-01", "2026-08-31"),
        ("last autumn", "2025-09-01", "2025-11-30"),
        ("this autumn", "2026-09-01", "2026-11-30"),
        ("summer of 2021", "2021-06-01", "2021-08-31"),
        ("winter 2021/22", "2021-12-01", "2022-02-28"),
        ("last winter", "2025-12-01", "2026-02-28"),
        ("christmas 2022", "2022-12-24", "2022-12-26"),
        ("Weihnachten", "2025-12-24", "2025-12-26"),
        ("new year's eve 2019", "2019-12-31", "2019-12-31"),
        ("easter 2024", "2024-03-29", "2024-04-01"),
        ("the 1990s", "1990-01-01", "1999-12-31"),
    ],
)
def test_what_people_say_is_a_range_of_days(text: str, first: str, last: str) -> None:
    assert period(text, TODAY) == days(first, last)


@pytest.mark.parametrize(
    ("text", "first", "behind"),
    [
        ("since 2018", date(2018, 1, 1), date.max),
        ("seit Mai 2020", date(2020, 5, 1), date.max),
        ("after 2018", date(2019, 1, 1), date.max),
        ("before 2018", date.min, date(2018, 1, 1)),
        ("until 2018", date.min, date(2019, 1, 1)),
        ("bis Juni 2020", date.min, date(2020, 7, 1)),
    ],
)
def test_one_side_may_be_open(text: str, first: date, behind: date) -> None:
    assert period(text, TODAY) == (first, behind)


@pytest.mark.parametrize(
    "text",
    ["", "may flowers", "someday", "2023-13", "31 June 2023", "99999", "5", "2022..2020", "last", "12/11/10", "in"],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no date"):
        period(text, TODAY)


@pytest.mark.parametrize(
    ("question", "rest", "said"),
    [
        ("the beach last summer", "the beach", "last summer"),
        ("a dog in May 2023", "a dog", "in May 2023"),
        ("dogs since 2018", "dogs", "since 2018"),
        ("my birthday between 2018 and 2020", "my birthday", "between 2018 and 2020"),
        ("snow from 2019 to 2021", "snow", "from 2019 to 2021"),
        ("the sea, yesterday", "the sea", "yesterday"),
        ("ein Hund im Mai 2023", "ein Hund", "im Mai 2023"),
        ("Kinder am Strand seit 2020", "Kinder am Strand", "seit 2020"),
        ("a tree at christmas 2022", "a tree", "at christmas 2022"),
        ("a boat two years ago", "a boat", "two years ago"),
    ],
)
def test_a_question_may_end_with_a_period(question: str, rest: str, said: str) -> None:
    found = in_question(question, TODAY)
    assert found is not None
    assert (found[0], found[2]) == (rest, said)


@pytest.mark.parametrize(
    "question",
    [
        "may flowers", "flowers in may", "a man in spring", "two dogs in snow", "a house from above", "summer 2021",
        "a bus after rain", "a boy on a march", "people between two cars", "a sign that says 2020", "leaves in fall",
        "children before christmas", "last summer", "a cat on the last step", "a clock from the 1950s museum",
    ],
)  # fmt: skip
def test_a_question_without_an_announced_period_stays_as_it_is(question: str) -> None:
    found = in_question(question, TODAY)
    assert found is None


@pytest.mark.parametrize(
    ("year", "day"), [(2000, "2000-04-23"), (2024, "2024-03-31"), (2025, "2025-04-20"), (2038, "2038-04-25")]
)
def test_easter_is_when_the_calendars_say(year: int, day: str) -> None:
    assert easter(year) == date.fromisoformat(day)


def test_a_question_that_ends_with_a_period_is_about_that_time_and_says_so(tmp_path: Path) -> None:
    def descry(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["--library", str(tmp_path / "library"), *arguments])

    (tmp_path / "photos").mkdir()
    for year in (2019, 2023):
        with_exif(tmp_path / "photos" / f"{year}.jpg", taken=datetime(year, 7, 1))
    assert descry("index", str(tmp_path / "photos")).exit_code == 0
    answer = descry("search", "something red since 2020", "--format", "paths")
    assert "2023.jpg" in answer.stdout
    assert "2019.jpg" not in answer.stdout
    assert "'since 2020' is read as --on 'since 2020-01-01'" in answer.stderr
    quoted = descry("search", '"something red since 2020"', "--format", "paths")
    assert "2019.jpg" in quoted.stdout
    assert "is read as" not in quoted.stderr

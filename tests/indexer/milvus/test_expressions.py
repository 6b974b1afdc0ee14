"""A filter's condition as an expression of Milvus: it holds wherever the condition does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("sqlglot", reason="sqlglot is not installed: pip install 'descry[milvus]'")

from indexer.milvus.expressions import MOST_ANSWERS, expression
from search.filters import FIELDS, Filter, to_sql


def told(*filters: Filter, answers: Sequence[Any] = ("Canon EOS R5", 'a "b\\')) -> str:
    sql, values = to_sql(filters)
    return expression(sql, values, lambda *_: answers)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("in", "/a", '(folder == "/a") or ((folder >= "/a/") and (folder < "/a0"))'),
        ("path", "IMG*.JP?", 'path like "%/img%.jp%"'),
        ("path", 'a[b-d]_"%\\', 'path like "%/a%"'),
        ("path", "/x/*/y*", 'path like "/x/%/y%"'),
        ("type", "png", 'path like "%/%.png"'),
        ("on", "2023-05", "(day >= 2460066.0) and (day <= 2460096.0)"),
        ("after", "2023-05", "day >= 2460066.0"),
        ("before", "2023-05", "day < 2460066.0"),
        ("camera", "canon", 'camera in ["Canon EOS R5", "a \\"b\\\\"]'),
        ("lens", "RF 50%!_mm", 'lens like "%rf 50%!%mm%"'),
        ("place", "Japan", 'country == "Japan"'),
        ("place", "Berlin", '(city == "Berlin") and (country == "Germany")'),
        ("min-width", "31", "width >= 31.0"),
        ("orientation", "portrait", "width < height"),
        ("colour", "sepia", 'colour == "sepia"'),
        ("near", "89,10,300", "latitude >= 86.28506787330316 and latitude <= 91.71493212669684"),
    ],
)
def test_what_milvus_can_tell_of_each_filter(field: str, value: str, expected: str) -> None:
    assert told(Filter(field, value)) == expected


def test_near_is_a_box_that_holds_the_circle() -> None:
    assert told(Filter("near", "52.5,13.4,10")).count(" and ") == 3
    assert told(Filter("near", "0,179.99,10")).count(" and ") == 1  # the date line


def test_filters_are_joined_as_far_as_they_can_be_told() -> None:
    both = Filter("min-width", "31"), Filter("tag", "warm")
    assert told(*both) == "width >= 31.0"
    assert told(Filter("orientation", "portrait"), Filter("min-height", "4")) == "(width < height) and (height >= 4.0)"
    assert told(Filter("path", "a*"), Filter("path", "b*")) == '(path like "%/a%") or (path like "%/b%")'
    assert told(Filter("type", "tif"), Filter("type", "png")).count(" or ") == 2


@pytest.mark.parametrize("field", FIELDS)
def test_what_is_negated_is_left_to_the_catalog(field: str) -> None:
    values = {
        "path": "a*",
        "type": "png",
        "near": "Berlin",
        "place": "Berlin",
        "orientation": "square",
        "colour": "sepia",
    }
    numbers = {"on": "2023", "after": "2023", "before": "2023", "min-width": "1", "min-height": "1"}
    value = (values | numbers).get(field, "word")
    assert told(Filter(field, value, negated=True)) == ""


def test_a_question_with_many_answers_or_none_is_left_to_the_catalog() -> None:
    for answers in ((), ["camera"] * (MOST_ANSWERS + 1)):
        assert told(Filter("camera", "a"), answers=answers) == ""

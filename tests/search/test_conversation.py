"""What lines of a conversation mean: new questions, and refinements of the last one."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexer.errors import QueryError
from indexer.items import Item
from search.conversation import PAGE, REFINEMENTS, Conversation, breadcrumb, continuations, filter_of, step
from search.filters import Filter
from search.hits import Hit
from search.query import STORED, Query, Term

FOUND = tuple(Hit(Item("image", Path(f"/photos/{id}.jpg"), id=id), 1 - id / 100) for id in range(11, 11 + PAGE))


@pytest.fixture
def talk() -> Conversation:
    """Somebody asked for a beach, and ten photos were found."""
    return step(Conversation(), "a beach").answered(FOUND)


def terms(talk: Conversation) -> list[tuple[str, object, float]]:
    return [(term.modality, term.value, term.weight) for term in talk.query.terms]


def test_a_line_is_a_question(talk: Conversation) -> None:
    assert talk.query == Query((Term("text", "a beach"),), k=PAGE, words="a beach")


def test_another_line_is_another_question(talk: Conversation) -> None:
    assert terms(step(talk, "a red car - 2:people")) == [("text", "a red car", 1.0), ("text", "people", -2.0)]


def test_what_sounds_like_a_refinement_can_be_looked_for_all_the_same(talk: Conversation) -> None:
    assert terms(step(talk, "find without people")) == [("text", "without people", 1.0)]
    assert terms(step(talk, "FIND next")) == [("text", "next", 1.0)]


@pytest.mark.parametrize("line", ["without people", "- people", "-people", "Without people"])
def test_something_is_taken_away(talk: Conversation, line: str) -> None:
    assert terms(step(talk, line)) == [("text", "a beach", 1.0), ("text", "people", -1.0)]


@pytest.mark.parametrize("line", ["and a dog", "with a dog", "+ a dog", "+a dog"])
def test_something_is_added(talk: Conversation, line: str) -> None:
    assert terms(step(talk, line)) == [("text", "a beach", 1.0), ("text", "a dog", 1.0)]


@pytest.mark.parametrize(
    ("line", "ids"),
    [("more like 3", [13]), ("like 3", [13]), ("more like 3 and 5", [13, 15]), ("more like 3, 5 1", [13, 15, 11])],
)
def test_more_like_hits_asks_for_what_resembles_them_with_the_same_filters(
    talk: Conversation, line: str, ids: list[int]
) -> None:
    after = step(step(talk, "only 2023").answered(FOUND), line)
    assert terms(after) == [(STORED, id, 1.0) for id in ids]
    assert after.query.filters == (Filter("on", "2023"),)


@pytest.mark.parametrize("number", ["0", "11"])
def test_a_number_that_was_not_shown_is_refused(talk: Conversation, number: str) -> None:
    with pytest.raises(QueryError, match="from 1 to 10"):
        step(talk, f"more like {number}")


@pytest.mark.parametrize(
    ("words", "filter"),
    [
        ("2023", Filter("on", "2023")),
        ("2023-05-04", Filter("on", "2023-05-04")),
        ("portrait", Filter("orientation", "portrait")),
        ("sepia", Filter("colour", "sepia")),
        ("jpg", Filter("type", "jpg")),
        (".png", Filter("type", ".png")),
        ("camera canon eos", Filter("camera", "canon eos")),
        ("has-caption", Filter("has-caption")),
        ("~/Photos", Filter("in", "~/Photos")),
        ("in holiday", Filter("in", "holiday")),
        ("holiday", Filter("path", "*holiday*")),
    ],
)
def test_a_filter_is_known_by_its_name_or_its_form(words: str, filter: Filter) -> None:
    assert filter_of(words) == filter


def test_a_second_only_of_one_kind_replaces_the_first_and_others_add_up(talk: Conversation) -> None:
    after = step(step(step(talk, "only 2023"), "only portrait"), "only 2022")
    assert set(after.query.filters) == {Filter("orientation", "portrait"), Filter("on", "2022")}


def test_what_a_filter_lets_through_can_be_left_out(talk: Conversation) -> None:
    after = step(step(talk, "except 2023"), "except 2022")
    assert after.query.filters == (Filter("on", "2023", negated=True), Filter("on", "2022", negated=True))
    assert step(after, "no filters").query.filters == ()


def test_a_filter_of_a_wrong_form_is_named_with_the_right_ones(talk: Conversation) -> None:
    with pytest.raises(QueryError, match="min-width 'wide' cannot be understood: give a whole number"):
        step(talk, "only min-width wide")


def test_next_asks_for_more_and_shows_only_those(talk: Conversation) -> None:
    after = step(talk, "next")
    assert (after.query.k, after.first) == (2 * PAGE, PAGE)
    assert len(after.queries) == 1  # the same question


def test_after_the_last_there_is_no_next(talk: Conversation) -> None:
    with pytest.raises(QueryError, match="That was all"):
        step(talk.answered(FOUND[:3]), "more")


def test_back_goes_to_the_question_before_as_often_as_there_is_one(talk: Conversation) -> None:
    later = step(step(talk, "without people"), "only 2023")
    assert breadcrumb(later.query) == "a beach, without people, only on 2023"
    assert breadcrumb(step(later, "back").query) == "a beach, without people"
    assert step(step(later, "back"), "back").query == talk.query
    with pytest.raises(QueryError, match="no question before"):
        step(talk, "back")


def test_order_number_kind_and_ways_change_nothing_else(talk: Conversation) -> None:
    assert step(talk, "by date").query.sort == "date"
    assert step(talk, "sort by -size").query.sort == "-size"
    assert step(talk, "show 25").query.k == 25
    assert step(talk, "texts").query.wanted == ("text",)
    assert step(step(talk, "texts"), "photos").query.wanted == ("image",)
    assert step(talk, "unique").query.unique
    assert not step(step(talk, "unique"), "unique").query.unique
    assert all(step(talk, line).query.terms == talk.query.terms for line in ("by date", "show 25", "texts", "unique"))


def test_what_is_taken_back_leaves_the_breadcrumb(talk: Conversation) -> None:
    for line, undo in (
        ("relevant", "relevant"),
        ("only camera canon", "no filters"),
        ("by -date", "by relevance"),
        ("texts", "photos"),
    ):
        assert breadcrumb(step(talk, line).query) == f"a beach, {line}"
        assert breadcrumb(step(step(talk, line), undo).query) == "a beach"
    narrowed = step(step(talk, "only 2023"), "only 2022")
    assert breadcrumb(step(narrowed, "except camera canon").query) == "a beach, only on 2022, except camera canon"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("witout people", "without people"),
        ("wihtout people", "without people"),
        ("onyl 2023", "only 2023"),
        ("exept camera canon", "except camera canon"),
        ("mroe like 3", "more like 3"),
        ("bakc", "back"),
        ("nxt", "next"),
        ("relevent", "relevant"),
    ],
)
def test_a_misspelt_refinement_is_no_new_question(line: str, meant: str, talk: Conversation) -> None:
    with pytest.raises(QueryError, match=rf"Did you mean '{meant}'\? .*find {line}"):
        step(talk, line)
    assert step(Conversation(), line).query.terms == (Term("text", line),)  # there is nothing to refine
    assert step(talk, f"find {line}").query.terms == (Term("text", line),)


@pytest.mark.parametrize("line", ["snow", "bank", "within a forest", "expect rain", "once upon a time", "mode show"])
def test_words_that_only_resemble_a_refinement_are_a_question(line: str, talk: Conversation) -> None:
    assert step(talk, line).query.terms == (Term("text", line),)


@pytest.mark.parametrize("refinement", REFINEMENTS, ids=lambda refinement: refinement.start.strip())
def test_every_example_is_of_its_own_form_and_needs_a_question(refinement, talk: Conversation) -> None:
    line = refinement.start + refinement.example
    with pytest.raises(QueryError):
        step(Conversation(), line)
    before = step(step(talk, "a sea"), "only 2022").answered(FOUND)
    assert step(before, line).query != before.query


def test_a_line_is_completed_by_what_is_understood() -> None:
    assert list(continuations("wi")) == ["without "]
    assert list(continuations("only in /a", folders=["/a/b", "/c"])) == ["only in /a/b"]
    assert list(continuations("except tag d", tags=["dog", "cat"])) == ["except tag dog"]
    assert "only camera " in list(continuations("only "))
    assert list(continuations("a dog")) == []

"""Work made ahead: in order, a bounded number at once, and left when nobody wants it any more."""

import time
from collections.abc import Iterator

import pytest

from indexer import threads
from indexer.threads import ahead


def numbers(count: int, asked: list[int]) -> Iterator[int]:
    for number in range(count):
        asked.append(number)
        yield number


def test_results_come_in_the_order_of_the_values_whatever_takes_longer() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 if number < 3 else 0)
        return number * number

    assert list(ahead(slow_at_first, range(50))) == [number * number for number in range(50)]


def test_no_more_is_begun_than_the_window_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "processors", lambda: 2)
    asked: list[int] = []
    made = ahead(str, numbers(1000, asked))
    assert next(made) == "0"
    assert len(asked) == 2 * threads.AHEAD


def test_what_a_value_raises_comes_out_where_its_result_would() -> None:
    made = ahead(lambda number: 1 / number, [1, 0, 2])
    assert next(made) == 1
    with pytest.raises(ZeroDivisionError):
        next(made)

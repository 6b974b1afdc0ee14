"""Work made ahead: in order, a bounded number at once, and left when nobody wants it any more."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from indexer import threads
from indexer.errors import TookTooLong
from indexer.threads import Workers, ahead


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


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Work on this event is given up after a moment; in the end, the threads are let go."""
    monkeypatch.setattr(threads, "PATIENCE", 0.2)
    monkeypatch.setattr(threads, "LOOK", 0.01)
    event = threading.Event()
    yield event
    event.set()


def test_what_hangs_is_given_up_and_holds_up_nothing_else(hanging: threading.Event) -> None:
    def work(number: int) -> str:
        if number % 5 == 0:  # more than there are threads
            hanging.wait()
        return str(number)

    made = list(ahead(work, range(40), overdue=lambda number, error: f"{number}: {error}"))
    given_up = [
        f"{number}: reading it took longer than 0 s; `descry index` tries it again" for number in range(0, 40, 5)
    ]
    assert made[::5] == given_up
    assert made[1::5] == [str(number) for number in range(1, 40, 5)]
    with pytest.raises(TookTooLong):
        list(ahead(work, [0]))


def test_what_has_been_given_up_may_end_all_the_same(hanging: threading.Event) -> None:
    workers = Workers(1, "test")
    late, following = workers.submit(hanging.wait), workers.submit(lambda: 2)
    with pytest.raises(TookTooLong):
        workers.result(late)
    hanging.set()
    assert workers.result(following) == 2
    workers.close()


def test_a_large_file_may_take_longer() -> None:
    workers = Workers(1, "test")
    assert workers.submit(int, size=100_000_000).seconds == threads.PATIENCE + 100 * threads.A_MEGABYTE
    workers.close()


def test_a_process_ends_while_a_thread_hangs() -> None:
    code = """
import threading
from indexer import threads
threads.PATIENCE = threads.LOOK = 0.01
print(list(threads.ahead(lambda _: threading.Event().wait(), range(3), overdue=lambda number, _: number)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 1, 2]\n", "")

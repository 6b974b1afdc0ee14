"""Two buffers by turns: whatever order two queues work in, nothing is overwritten before it was used."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from indexer.encoders.execution import Buffers, batch_of, pieces_of

SIZES = (4, 16)
CPU = torch.device("cpu")


class Machine:
    """A device with queues, of which chance decides which one does its next piece of work."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.lanes: list[SlowLane] = []
        self.done: list[str] = []

    def stream(self, name: str) -> SlowLane:
        self.lanes.append(SlowLane(self, name))
        return self.lanes[-1]

    def until(self, event: SlowEvent) -> None:
        while not event.passed:
            able = [stream for stream in self.lanes if stream.can_go_on()]
            assert able, "every queue waits for another"
            self.chance.choice(able).go_on()


class SlowEvent:
    def __init__(self, machine: Machine) -> None:
        self._machine, self.passed = machine, False

    def synchronize(self) -> None:
        self._machine.until(self)


class SlowLane:
    """Does nothing before somebody waits for it."""

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine, self._name = machine, name
        self._waiting: deque[Callable[[], object] | SlowEvent] = deque()

    def run(self, work: Callable[[], object]) -> None:
        self._waiting.append(work)

    def after(self, event: Any) -> None:
        self._waiting.append(event)

    def record(self) -> SlowEvent:
        event = SlowEvent(self._machine)
        self._waiting.append(lambda: setattr(event, "passed", True))
        return event

    def can_go_on(self) -> bool:
        return bool(self._waiting) and (not isinstance(self._waiting[0], SlowEvent) or self._waiting[0].passed)

    def go_on(self) -> None:
        first = self._waiting.popleft()
        if callable(first):
            first()
            self._machine.done.append(self._name)


class AtOnce:
    """A stream that does all work when it is given."""

    def run(self, work: Callable[[], object]) -> None:
        work()

    def after(self, event: AtOnce) -> None:
        pass

    def record(self) -> AtOnce:
        return self

    def synchronize(self) -> None:
        pass


def pictures(count: int) -> list[np.ndarray]:
    """Pictures `[3, 2, 2]` as `prepare` gives them, with the channels last in memory."""
    chance = np.random.default_rng(count)
    return list(chance.integers(0, 256, (count, 2, 2, 3), dtype=np.uint8).transpose(0, 3, 1, 2))


def summed(values: torch.Tensor) -> torch.Tensor:
    weights = torch.arange(values[0].numel(), dtype=torch.float32)
    return values.reshape(len(values), -1).float() @ weights[:, None]


def through(values: Sequence[np.ndarray], seed: int, step: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    machine = Machine(seed)
    buffers = Buffers(
        max(SIZES), values[0], CPU, copying=machine.stream("copying"), computing=machine.stream("computing")
    )
    return buffers.through(step, values, SIZES)


@pytest.mark.parametrize("count", [1, 4, 5, 16, 19, 37, 100])
def test_a_batch_comes_through_whole_and_in_order_however_the_queues_run(count: int) -> None:
    values = pictures(count)
    for seed in range(30):
        assert torch.equal(through(values, seed, summed), summed(batch_of(values)))


def test_the_memory_of_an_answer_may_be_used_again_for_the_next_piece() -> None:
    answers = {size: torch.zeros(size, 1) for size in SIZES}
    values = pictures(75)
    for seed in range(10):
        found = through(values, seed, lambda batch: answers[len(batch)].copy_(summed(batch)))
        assert torch.equal(found, summed(batch_of(values)))


def test_every_piece_is_of_a_fixed_size_and_lies_in_memory_as_the_whole_batch_does() -> None:
    seen: list[tuple[int, tuple[int, ...]]] = []

    def look(batch: torch.Tensor) -> torch.Tensor:
        seen.append((len(batch), batch.stride()))
        return summed(batch)

    through(pictures(37), 0, look)
    assert [size for size, _ in seen] == [16, 16, 4, 4]
    assert {strides for _, strides in seen} == {batch_of(pictures(37)).stride()} == {(12, 1, 6, 3)}


def test_a_piece_is_copied_while_the_one_before_it_is_computed() -> None:
    assert {copies_before_the_first_answer(seed) for seed in range(30)} == {1, 2}  # the queues are free to do either


def copies_before_the_first_answer(seed: int) -> int:
    machine = Machine(seed)
    buffers = Buffers(16, pictures(1)[0], CPU, copying=machine.stream("copying"), computing=machine.stream("computing"))
    buffers.through(lambda batch: machine.done.append("answer") or summed(batch), pictures(32), SIZES)
    copied = machine.done[: machine.done.index("answer")].count("copying")
    return (copied - 2) // 2  # two events at the start, and one behind each copy


def test_sentences_go_through_too_and_what_fills_a_piece_up_is_a_value() -> None:
    ids = list(np.arange(7 * 5, dtype=np.int64).reshape(7, 5))
    table = torch.arange(35.0)[:, None]
    found = through(ids, 0, lambda batch: table[batch].sum(1))  # an id out of its range would raise
    assert found.flatten().tolist() == np.stack(ids).sum(1).tolist()


def test_an_error_is_the_callers_and_the_next_batch_is_sound() -> None:
    buffers = Buffers(16, pictures(1)[0], CPU, copying=AtOnce(), computing=AtOnce())

    def fails(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        buffers.through(fails, pictures(20), SIZES)
    assert torch.equal(buffers.through(summed, pictures(9), SIZES), summed(batch_of(pictures(9))))


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [4]), (4, [4]), (15, [4, 4, 4, 4]), (16, [16]), (150, [16] * 9 + [4, 4])]
)
def test_pieces_are_as_large_as_a_batch_fills_and_the_last_is_small(count: int, sizes: list[int]) -> None:
    pieces = list(pieces_of(count, SIZES))
    assert [size for _, size in pieces] == sizes
    places = [place for part, _ in pieces for place in range(count)[part]]
    assert places == list(range(count))
    assert all(len(range(count)[part]) <= size for part, size in pieces)

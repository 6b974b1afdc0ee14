"""A batch in pieces: all of it, in order, in inference, and torch's threads left as they were."""

import threading

import pytest
import torch

from indexer.encoders.execution import ThreadPool


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 31, 100])
def test_pieces_come_back_in_order_and_none_is_larger_than_wished(count: int) -> None:
    sizes: list[int] = []

    def doubled(piece: torch.Tensor) -> torch.Tensor:
        sizes.append(len(piece))
        return 2 * piece

    batch = torch.arange(count * 2).reshape(count, 2)
    assert (ThreadPool(doubled, piece=5)(batch) == 2 * batch).all()
    assert sum(sizes) == count
    assert max(sizes) <= 5
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.usefixtures("four_threads")
def test_every_thread_is_torchs_only_one_and_the_others_keep_theirs() -> None:
    seen: dict[str, int] = {}
    meet = threading.Barrier(4)

    def look(piece: torch.Tensor) -> torch.Tensor:
        meet.wait(120)  # so that no thread does two pieces
        seen[threading.current_thread().name] = torch.get_num_threads()
        assert torch.is_inference_mode_enabled()
        return piece

    ThreadPool(look, piece=1)(torch.zeros(4, 1))
    assert list(seen.values()) == [1, 1, 1, 1]
    assert torch.get_num_threads() == 4
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [4]


def test_an_error_in_a_piece_is_the_callers() -> None:
    def fails(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        ThreadPool(fails, piece=2)(torch.zeros(8, 1))

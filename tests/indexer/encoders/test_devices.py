"""A batch through a model: the same vectors in pieces, in recordings and on a GPU as in one go."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from indexer.encoders import devices, embedded_image, load_encoder, open_clip_model
from indexer.encoders.devices import (
    FEWEST,
    SIZES,
    GraphRunner,
    RecordedGraph,
    ThreadPool,
    batch_of,
    pieces_of,
    runner,
)
from indexer.photos.opening import open_photo

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
COUNTS = (1, FEWEST, SIZES[0] + 1, SIZES[1] + SIZES[0] + 3)


def values(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8).transpose(0, 3, 1, 2))


def scaled(batch: torch.Tensor) -> torch.Tensor:
    return batch.float().flatten(1) / 255


@pytest.mark.parametrize("piece", [None, 5])
def test_on_a_processor_a_batch_goes_through_whole_or_in_pieces(piece: int | None) -> None:
    run = runner(scaled, CPU, piece=piece)
    for count in COUNTS:
        assert torch.equal(run(values(count)), scaled(batch_of(values(count))))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes CUDA's part out of what runs on it."""
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())


@pytest.mark.usefixtures("no_gpu")
def test_every_size_is_recorded_once_and_few_values_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[int] = []

    class Graph:
        """What a CUDA graph does: it computes where it was recorded, whoever asks."""

        def __init__(self, batch: torch.Tensor) -> None:
            self.batch, self.answer = batch.clone(), scaled(batch)

        def replay(self) -> None:
            self.answer.copy_(scaled(self.batch))

    def record(_: object, batch: torch.Tensor, __: object) -> RecordedGraph:
        recorded.append(len(batch))
        graph = Graph(batch)
        return RecordedGraph(graph, graph.batch, graph.answer)  # type: ignore[arg-type]

    monkeypatch.setattr(devices, "recording_of", record)
    run = GraphRunner(scaled, CPU)
    assert torch.equal(run(values(FEWEST - 1)), scaled(batch_of(values(FEWEST - 1))))
    assert recorded == []
    for count in (*COUNTS, *COUNTS):
        assert torch.equal(run(values(count)), scaled(batch_of(values(count))))
    assert recorded == list(SIZES)


@pytest.mark.usefixtures("no_gpu")
def test_what_fills_a_piece_up_is_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    table, seen = torch.arange(35.0)[:, None], []

    def record(function: Any, batch: torch.Tensor, _: object) -> RecordedGraph:
        seen.append(batch)
        graph = SimpleNamespace(replay=lambda: answer.copy_(function(batch)))
        answer = function(batch)  # an id out of its range would raise
        return RecordedGraph(graph, batch, answer)  # type: ignore[arg-type]

    monkeypatch.setattr(devices, "recording_of", record)
    ids = list(np.arange(10 * 3, dtype=np.int64).reshape(10, 3))
    found = GraphRunner(lambda batch: table[batch].sum(1), CPU)(ids)
    assert found.flatten().tolist() == np.stack(ids).sum(1).tolist()
    assert [len(batch) for batch in seen] == [SIZES[0]]


@pytest.mark.usefixtures("no_gpu")
def test_pieces_lie_in_memory_as_the_whole_batch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    strides = []
    monkeypatch.setattr(devices, "recording_of", lambda _, batch, __: strides.append(batch.stride()))
    GraphRunner(scaled, CPU)(values(50))
    assert set(strides) == {batch_of(values(50)).stride()}


@pytest.mark.usefixtures("no_gpu")
def test_what_cannot_be_recorded_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "recording_of", lambda *_: None)
    run = GraphRunner(scaled, CPU)
    assert torch.equal(run(values(50)), scaled(batch_of(values(50))))


@NO_GPU
def test_a_gpu_records_every_size_and_plays_it_again() -> None:
    gpu = torch.device("cuda", 0)
    run = GraphRunner(scaled, gpu)
    for count in COUNTS:
        assert torch.equal(run(values(count)).cpu(), scaled(batch_of(values(count))))
    assert all(isinstance(run.recorded[size], RecordedGraph) for size in SIZES)


ASKING = """
import numpy as np, torch
from indexer.encoders.devices import GraphRunner
asking = GraphRunner(lambda batch: batch.float() * (1 if batch.sum().item() >= 0 else 2), torch.device("cuda", 0))
values = [np.full((3, 4, 4), number, np.uint8) for number in range(40)]
for _ in range(3):
    assert torch.equal(asking(values).cpu(), torch.from_numpy(np.stack(values)).float())
print(asking.recorded)
"""


@NO_GPU
def test_what_asks_the_device_on_its_way_runs_as_it_is() -> None:
    """In a process of its own: a recording that fails may leave CUDA in disorder."""
    said = subprocess.run([sys.executable, "-c", ASKING], capture_output=True, text=True, check=False, cwd=ROOT)
    assert said.stdout == f"{{{SIZES[0]}: None}}\n", said.stderr


def noises(count: int) -> list[Image.Image]:
    chance = np.random.default_rng(1)
    return [
        Image.fromarray(chance.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize((320, 240)) for _ in range(count)
    ]


@NO_GPU
@pytest.mark.parametrize("count", COUNTS)
def test_photos_and_sentences_have_the_vectors_of_the_processor_in_float32(
    tiny_model: Path, real_photos: list[Path], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [*map(open_photo, real_photos), *noises(count)][:count]
    sentences = [f"photo number {number} of a dog" for number in range(count)]
    for name in (f"open_clip:{tiny_model}", "embedded"):
        gpu, cpu = (load_encoder(name, device=device) for device in ("cuda", "cpu"))
        rows = [gpu.embed("image", photos), gpu.embed("text", sentences)]
        with monkeypatch.context() as patched:
            for module in (open_clip_model, embedded_image):
                patched.setattr(module, "pick_dtype", lambda _: torch.float32)
            exact = [cpu.embed("image", photos), cpu.embed("text", sentences)]
        assert [np.vecdot(*pair).min() >= 0.999 for pair in zip(rows, exact, strict=True)] == [True, True]


@NO_GPU
def test_the_towers_of_open_clip_are_recorded(tiny_model: Path) -> None:
    encoder = load_encoder(f"open_clip:{tiny_model}", device="cuda")
    for modality, asked in (("image", noises(SIZES[0])), ("text", ["a dog"] * SIZES[0])):
        encoder.embed(modality, asked)
        assert isinstance(vars(encoder.tower(modality))["_run"].recorded[SIZES[0]], RecordedGraph)


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


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [4]), (4, [4]), (15, [4, 4, 4, 4]), (16, [16]), (150, [16] * 9 + [4, 4])]
)
def test_pieces_are_as_large_as_a_batch_fills_and_the_last_is_small(count: int, sizes: list[int]) -> None:
    pieces = list(pieces_of(count, (4, 16)))
    assert [size for _, size in pieces] == sizes
    places = [place for part, _ in pieces for place in range(count)[part]]
    assert places == list(range(count))
    assert all(len(range(count)[part]) <= size for part, size in pieces)

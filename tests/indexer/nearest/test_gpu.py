"""FAISS on a GPU: what is done there, and that the answers are the processor's."""

from __future__ import annotations

from collections.abc import Iterator

import faiss
import numpy as np
import pytest
from stored import stored

from indexer.items import Vectors
from indexer.nearest import gpu, ivf
from indexer.nearest.exact import Exact
from indexer.nearest.ivf import learn_centroids

DIMENSION, LISTS = 32, 16

NO_GPU = pytest.mark.skipif(faiss.get_num_gpus() == 0, reason="FAISS sees no GPU here")


def rows(count: int, *, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    unit = (chance / np.linalg.norm(chance, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    return np.ascontiguousarray(unit)


def exact(count: int) -> Exact:
    ids = np.arange(count, dtype=np.int64) * 3
    return Exact(stored(Vectors(ids, rows(count))), ids)


def lists() -> faiss.IndexIVFRaBitQ:
    return ivf._faiss_index(rows(LISTS, seed=9), LISTS)


@pytest.fixture(autouse=True)
def _library(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("library"))


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two GPUs that nobody has woken, as far as one can tell without any."""
    gpu._resources.cache_clear()
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2)
    monkeypatch.setattr(faiss, "StandardGpuResources", object)
    yield
    gpu._resources.cache_clear()


@pytest.fixture
def woken(asleep: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:  # noqa: ARG001
    """In place of a GPU, the processor, for the least work: says for what it was woken."""
    said: list[str] = []

    def flat(dimension: int, *, half: bool) -> faiss.IndexFlatIP:
        said.append("float16" if half else "float32")
        return faiss.IndexFlatIP(dimension)

    monkeypatch.setattr(gpu, "_flat", flat)
    always(monkeypatch)
    return said


def always(monkeypatch: pytest.MonkeyPatch) -> None:
    for threshold in ("WINS_FROM", "WINS_AWAKE_FROM"):
        monkeypatch.setattr(gpu, threshold, 0)


@pytest.mark.usefixtures("asleep")
def test_a_gpu_is_woken_for_much_work_and_does_more_when_it_is_awake() -> None:
    assert gpu.gpus_for(gpu.WINS_FROM - 1) == 0
    assert not gpu.wins(gpu.WINS_AWAKE_FROM)
    assert gpu.gpus_for(gpu.WINS_FROM) == 2
    assert gpu.wins(gpu.WINS_AWAKE_FROM)
    assert not gpu.wins(gpu.WINS_AWAKE_FROM - 1)


@pytest.mark.usefixtures("asleep")
def test_without_one_none_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    assert not gpu.wins(1e15)
    assert gpu.gpus_for(1e15) == 0


def test_many_questions_find_the_same_there_and_the_copy_is_made_once(
    woken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, asked = exact(3000), rows(40, seed=1)
    scores, ids = index.nearest(asked, 7, None)
    index.nearest(asked, 7, None)
    assert woken == ["float16"]
    index.stored.write(np.array([1]), asked[:1])
    index.stored.close()
    index.add(np.array([1]))  # then the copy is not of all any more
    assert index.nearest(asked, 1, None)[1][0, 0] == 1
    assert woken == ["float16"] * 2
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    processor_scores, processor_ids = exact(3000).nearest(asked, 7, None)
    assert np.array_equal(ids, processor_ids)
    assert np.array_equal(scores, processor_scores)


def test_filtered_questions_and_more_neighbours_than_it_selects_are_the_processors(woken: list[str]) -> None:
    index, asked = exact(3000), rows(40, seed=1)
    assert index.nearest(asked, 2, np.arange(0, 900, 3))[1].max() < 900
    assert (index.nearest(asked, gpu.MOST, None)[1] >= 0).all()
    assert woken == []


def test_where_its_memory_does_not_suffice_the_processor_answers(
    woken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, asked = exact(500), rows(40, seed=1)
    expected = index.nearest(asked, 5, None)[1]
    del index._gpu

    def full(*_: object, **__: object) -> None:
        woken.append("full")
        raise RuntimeError("Error: 'err == cudaSuccess' failed: out of memory")

    monkeypatch.setattr(gpu, "_flat", full)
    for _ in range(2):
        assert np.array_equal(index.nearest(asked, 5, None)[1], expected)
    there, here = lists(), lists()
    gpu.add_to_lists(there, rows(200), np.arange(200))
    here.add_with_ids(rows(200), np.arange(200))
    assert held(there) == held(here)
    assert woken == ["float16", "full", "full"]


def test_vectors_come_into_the_lists_that_the_processor_would_choose(woken: list[str]) -> None:
    there, here = lists(), lists()
    for start in (0, 700):
        ids = np.arange(start, start + 700, dtype=np.int64)
        gpu.add_to_lists(there, rows(700, seed=start), ids)
        here.add_with_ids(rows(700, seed=start), ids)
    assert woken == ["float32"] * 2
    assert held(there) == held(here)
    asked = rows(20, seed=5)
    for found, expected in zip(there.search(asked, 10), here.search(asked, 10), strict=True):
        assert np.array_equal(found, expected)


def held(index: faiss.IndexIVFRaBitQ) -> list[list[int]]:
    return [sorted(ids.tolist()) for ids in by_list(index)]


def by_list(index: faiss.IndexIVFRaBitQ) -> list[np.ndarray]:
    kept = index.invlists
    sizes = [kept.list_size(number) for number in range(index.nlist)]
    return [faiss.rev_swig_ptr(kept.get_ids(number), size).copy() for number, size in enumerate(sizes)]


@NO_GPU
def test_a_gpu_learns_as_good_centroids(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = rows(2000)
    here = learn_centroids(sample, LISTS)
    always(monkeypatch)
    there = learn_centroids(sample, LISTS)
    assert np.allclose(np.linalg.norm(there, axis=1), 1, atol=1e-4)
    nearest_here, nearest_there = ((sample @ centroids.T).max(axis=1).mean() for centroids in (here, there))
    assert nearest_there > 0.99 * nearest_here


@NO_GPU
def test_a_gpu_finds_the_lists_and_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    index, asked = exact(3000), rows(40, seed=1)
    there, here = lists(), lists()
    here.add_with_ids(rows(3000), np.arange(3000))
    scores, ids = index.nearest(asked, 10, None)
    always(monkeypatch)
    gpu.add_to_lists(there, rows(3000), np.arange(3000))
    moved = sum(len(set(one) ^ set(other)) for one, other in zip(held(there), held(here), strict=True))
    assert moved < 0.01 * 3000
    gpu_scores, gpu_ids = index.nearest(asked, 10, None)
    assert index._gpu is not None
    assert (gpu_ids == ids).mean() > 0.99
    assert np.allclose(gpu_scores, scores, atol=1e-3)

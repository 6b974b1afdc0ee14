"""Every kind of FAISS index that may be chosen against brute force: ids, order and scores."""

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

from indexer.inverted import Inverted, Rows, learn_centroids
from indexer.items import Vectors
from indexer.saved import saved_revision
from indexer.vectors import VectorIndex

DIMENSION = 16


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_vectors(count: int, seed: int = 0) -> Vectors:
    """Vectors under ids in no order, with gaps."""
    chance = np.random.default_rng(seed)
    rows = unit(chance.normal(size=(count, DIMENSION))).astype(np.float16).astype(np.float32)
    return Vectors(chance.permutation(10 * count)[:count].astype(np.int64), rows)


def rows_of(vectors: Vectors) -> Rows:
    """What a catalog that holds these vectors gives an index."""

    def rows(ids: np.ndarray) -> Vectors:
        return kept(vectors, np.isin(vectors.ids, ids))

    return rows


def exact(vectors: Vectors) -> VectorIndex:
    index = VectorIndex(DIMENSION)
    index.add(vectors)
    return index


def inverted(vectors: Vectors) -> VectorIndex:
    """One that looks at everything: then it is exact."""
    lists = Inverted.empty(learn_centroids(vectors.rows, 8), vectors.rows, rows_of(vectors), probes=8, depth=10_000)
    index = VectorIndex.approximate(lists)
    index.add(vectors)
    return index


# Each kind, and how far its scores may be off: the processor adds up half precision in an order of its own.
KINDS = {exact: 2e-3, inverted: 1e-5}


def brute_force(vectors: Vectors, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The slow truth: all cosines, sorted by score and then id."""
    scores = vectors.rows @ query
    order = np.lexsort((vectors.ids, -scores))[:k]
    return scores[order], vectors.ids[order]


def kept(vectors: Vectors, mask: np.ndarray) -> Vectors:
    return Vectors(vectors.ids[mask], vectors.rows[mask])


@pytest.mark.parametrize("queries", [1, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_ids_order_and_scores_are_those_of_brute_force(kind: Callable[[Vectors], VectorIndex], queries: int) -> None:
    vectors = random_vectors(500)
    index = kind(vectors)
    asked = unit(np.random.default_rng(1).normal(size=(queries, DIMENSION)))
    scores, ids = index.search(asked, 20)
    assert len(index) == 500
    for query, score, id in zip(asked, scores, ids, strict=True):
        true_scores, true_ids = brute_force(vectors, query, 20)
        np.testing.assert_array_equal(id, true_ids)
        np.testing.assert_allclose(score, true_scores, atol=KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_finds_itself_with_a_cosine_of_one(kind: Callable[[Vectors], VectorIndex]) -> None:
    vectors = random_vectors(100)
    scores, ids = kind(vectors).search(vectors.rows, 1)
    np.testing.assert_array_equal(ids[:, 0], vectors.ids)
    assert scores.max() <= 1
    np.testing.assert_allclose(scores, 1, atol=2e-3)  # unit vectors, rounded to half precision


@pytest.mark.parametrize("share", [0.01, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_allowed_ids_limit_the_search(kind: Callable[[Vectors], VectorIndex], share: float) -> None:
    vectors = random_vectors(500)
    mask = np.random.default_rng(2).random(500) < share
    query = unit(np.random.default_rng(3).normal(size=(1, DIMENSION)))
    scores, ids = kind(vectors).search(query, 10, allowed=vectors.ids[mask])
    true_scores, true_ids = brute_force(kept(vectors, mask), query[0], 10)
    np.testing.assert_array_equal(ids[0, : len(true_ids)], true_ids)
    assert (ids[0, len(true_ids) :] == -1).all()
    np.testing.assert_allclose(scores[0, : len(true_ids)], true_scores, atol=KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_allowed_ids_that_are_not_there_are_not_found(kind: Callable[[Vectors], VectorIndex]) -> None:
    index = kind(random_vectors(50))
    scores, ids = index.search(np.ones((1, DIMENSION), np.float32), 3, allowed=np.array([100_000, 100_001]))
    assert (ids == -1).all()
    assert (scores == -np.inf).all()
    _, ids = index.search(np.ones((1, DIMENSION), np.float32), 3, allowed=np.array([], np.int64))
    assert (ids == -1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_asked_for_more_than_there_is_it_gives_all(kind: Callable[[Vectors], VectorIndex]) -> None:
    vectors = random_vectors(30)
    scores, ids = kind(vectors).search(vectors.rows[:2], 1000)
    assert ids.shape == scores.shape == (2, 1000)
    for row, query in zip(ids, vectors.rows, strict=False):
        np.testing.assert_array_equal(row[:30], brute_force(vectors, query, 30)[1])
    assert (ids[:, 30:] == -1).all()
    assert (scores[:, 30:] == -np.inf).all()


def test_an_empty_index_finds_nothing() -> None:
    index = VectorIndex(DIMENSION)
    scores, ids = index.search(np.ones((3, DIMENSION), np.float32), 5)
    assert (ids == -1).all()
    assert (scores == -np.inf).all()
    assert index.search(np.empty((0, DIMENSION), np.float32), 5)[1].shape == (0, 5)


@pytest.mark.parametrize("queries", [1, 2, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_ties_are_in_the_order_of_ids_whatever_k_is(kind: Callable[[Vectors], VectorIndex], queries: int) -> None:
    chance = np.random.default_rng(4)
    few = unit(chance.normal(size=(5, DIMENSION))).astype(np.float16).astype(np.float32)
    vectors = Vectors(chance.permutation(1000)[:203].astype(np.int64), few[chance.integers(5, size=203)])
    index = kind(vectors)
    asked = unit(chance.normal(size=(queries, DIMENSION)))
    _, all_ids = index.search(asked, 203)
    for query, ids in zip(asked, all_ids, strict=True):
        # equal vectors, equal scores: computed one by one, so that the truth does not depend on their place
        scores = np.array([float(np.dot(row.astype(float), query.astype(float))) for row in vectors.rows]).round(6)
        np.testing.assert_array_equal(ids, vectors.ids[np.lexsort((vectors.ids, -scores))])
    for k in (1, 2, 3, 10, 50, 117, 202):
        np.testing.assert_array_equal(index.search(asked, k)[1], all_ids[:, :k])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_removed_is_not_found_any_more(kind: Callable[[Vectors], VectorIndex]) -> None:
    vectors = random_vectors(200)
    index = kind(vectors)
    gone = np.arange(200) % 3 == 0
    index.remove(np.append(vectors.ids[gone], 999_999))
    assert len(index) == 200 - gone.sum()
    query = unit(np.random.default_rng(5).normal(size=(1, DIMENSION)))
    np.testing.assert_array_equal(index.search(query, 133)[1][0], brute_force(kept(vectors, ~gone), query[0], 133)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_index_is_opened_with_its_revision(kind: Callable[[Vectors], VectorIndex], tmp_path: Path) -> None:
    vectors = random_vectors(100)
    index = kind(vectors)
    index.revision = 7_000_000_000
    index.save(tmp_path / "image.faiss")
    opened = VectorIndex.open(tmp_path / "image.faiss", rows_of(vectors))
    assert opened.revision == saved_revision(tmp_path / "image.faiss") == 7_000_000_000
    assert (len(opened), opened.dimension) == (100, DIMENSION)
    for one, other in zip(opened.search(vectors.rows, 10), index.search(vectors.rows, 10), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [path.name for path in tmp_path.iterdir()] == ["image.faiss"]


def test_an_opened_index_can_be_added_to(tmp_path: Path) -> None:
    vectors = random_vectors(100)
    index = exact(kept(vectors, np.arange(100) < 60))
    index.save(tmp_path / "image.faiss")
    opened = VectorIndex.open(tmp_path / "image.faiss", rows_of(vectors))
    opened.add(kept(vectors, np.arange(100) >= 60))
    np.testing.assert_array_equal(
        opened.search(vectors.rows[:1], 100)[1][0], brute_force(vectors, vectors.rows[0], 100)[1]
    )


def test_a_file_that_is_no_index_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "image.faiss"
    exact(random_vectors(100)).save(path)
    content = path.read_bytes()
    broken = [b"", b"x", bytes(5000), content[:10], content[: len(content) // 2], content[:-9], b"\xff" * 100]
    for number, damage in enumerate(broken):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match="is not an index"):
            VectorIndex.open(path, rows_of(random_vectors(100)))
            pytest.fail(f"damage {number} went unnoticed")
    with pytest.raises(FileNotFoundError):
        VectorIndex.open(tmp_path / "none.faiss", rows_of(random_vectors(1)))


def test_an_index_that_cannot_be_written_is_an_os_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be written"):
        exact(random_vectors(10)).save(tmp_path / "nowhere" / "image.faiss")
    (tmp_path / "image.faiss").mkdir()
    with pytest.raises(OSError):  # a folder is in its place
        exact(random_vectors(10)).save(tmp_path / "image.faiss")
    assert [path.name for path in tmp_path.iterdir()] == ["image.faiss"]


@pytest.mark.skipif(faiss.get_num_gpus() == 0, reason="no GPU")
def test_the_gpu_finds_what_the_processor_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = random_vectors(5000)
    index = exact(vectors)
    asked = unit(np.random.default_rng(6).normal(size=(50, DIMENSION)))
    scores, ids = index.search(asked, 20)
    monkeypatch.setattr("indexer.exact.GPU_WINS_FROM", 0)
    gpu_scores, gpu_ids = index.search(asked, 20)
    np.testing.assert_allclose(gpu_scores, scores, atol=2e-3)
    assert (gpu_ids == ids).mean() > 0.99

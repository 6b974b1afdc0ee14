"""Every kind of FAISS index that may be chosen against brute force: ids, order and scores."""

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from stored import rounded, stored

from indexer.items import Vectors
from indexer.nearest.index import VectorIndex
from indexer.nearest.inverted import Inverted, learn_centroids
from indexer.nearest.saved import saved_revision

DIMENSION = 16


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_vectors(count: int, seed: int = 0) -> Vectors:
    """Vectors under ids in no order, with gaps."""
    chance = np.random.default_rng(seed)
    rows = rounded(unit(chance.normal(size=(count, DIMENSION))))
    return Vectors(chance.permutation(10 * count)[:count].astype(np.int64), rows)


def exact(vectors: Vectors) -> VectorIndex:
    index = VectorIndex(DIMENSION)
    index.add(vectors)
    return index


def inverted(vectors: Vectors) -> VectorIndex:
    """One that looks at everything: then it is exact."""
    centroids = learn_centroids(vectors.rows, 8)
    lists = Inverted.empty(centroids, vectors.rows, stored(vectors), probes=8, depth=10_000)
    index = VectorIndex.approximate(lists)
    index.add(vectors)
    return index


Kind = Callable[[Vectors], VectorIndex]


@pytest.fixture(autouse=True)
def _library(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("library"))


@pytest.fixture(params=["exact, few", "exact, many", "inverted"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    """What makes an index; of an exact one of many, codes are scanned first, here also where there are few."""
    if request.param == "inverted":
        return inverted
    if request.param == "exact, many":
        scan_first(monkeypatch)
    return exact


def scan_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.nearest.exact.DEPTH", 3)
    monkeypatch.setattr("indexer.nearest.exact.DEEPER", 2)
    monkeypatch.setattr("indexer.nearest.exact.AGAIN", 2)


def brute_force(vectors: Vectors, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The slow truth: all cosines, sorted by score and then id."""
    scores = vectors.rows @ query
    order = np.lexsort((vectors.ids, -scores))[:k]
    return scores[order], vectors.ids[order]


def kept(vectors: Vectors, mask: np.ndarray) -> Vectors:
    return Vectors(vectors.ids[mask], vectors.rows[mask])


@pytest.mark.parametrize("queries", [1, 7])
def test_ids_order_and_scores_are_those_of_brute_force(kind: Kind, queries: int) -> None:
    vectors = random_vectors(500)
    index = kind(vectors)
    asked = unit(np.random.default_rng(1).normal(size=(queries, DIMENSION)))
    scores, ids = index.search(asked, 20)
    assert len(index) == 500
    for query, score, id in zip(asked, scores, ids, strict=True):
        true_scores, true_ids = brute_force(vectors, query, 20)
        np.testing.assert_array_equal(id, true_ids)
        np.testing.assert_allclose(score, true_scores, atol=1e-6)


def test_a_vector_finds_itself_with_a_cosine_of_one(kind: Kind) -> None:
    vectors = random_vectors(100)
    scores, ids = kind(vectors).search(vectors.rows, 1)
    np.testing.assert_array_equal(ids[:, 0], vectors.ids)
    assert scores.max() <= 1
    np.testing.assert_allclose(scores, 1, atol=2e-3)  # unit vectors, rounded


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_allowed_ids_limit_the_search(kind: Kind, share: float) -> None:
    vectors = random_vectors(500)
    mask = np.random.default_rng(2).random(500) < share
    query = unit(np.random.default_rng(3).normal(size=(1, DIMENSION)))
    scores, ids = kind(vectors).search(query, 10, allowed=vectors.ids[mask])
    true_scores, true_ids = brute_force(kept(vectors, mask), query[0], 10)
    np.testing.assert_array_equal(ids[0, : len(true_ids)], true_ids)
    assert (ids[0, len(true_ids) :] == -1).all()
    np.testing.assert_allclose(scores[0, : len(true_ids)], true_scores, atol=1e-6)


def test_ids_that_change_are_looked_at_again_and_those_that_cannot_are_not_confused(kind: Kind) -> None:
    vectors = random_vectors(500)
    index = kind(vectors)
    allowed = vectors.ids[:100].copy()
    index.search(vectors.rows[:1], 5, allowed=allowed)
    allowed[:] = vectors.ids[100:200]
    assert set(index.search(vectors.rows[:1], 5, allowed=allowed)[1][0]) <= set(allowed)
    for start in range(0, 500, 50):
        frozen = vectors.ids[start : start + 50].copy()
        frozen.flags.writeable = False
        for _ in range(2):
            assert set(index.search(vectors.rows[:1], 5, allowed=frozen)[1][0]) <= set(frozen)


def test_allowed_ids_that_are_not_there_are_not_found(kind: Kind) -> None:
    index = kind(random_vectors(50))
    scores, ids = index.search(np.ones((1, DIMENSION), np.float32), 3, allowed=np.array([100_000, 100_001]))
    assert (ids == -1).all()
    assert (scores == -np.inf).all()
    _, ids = index.search(np.ones((1, DIMENSION), np.float32), 3, allowed=np.array([], np.int64))
    assert (ids == -1).all()


def test_asked_for_more_than_there_is_it_gives_all(kind: Kind) -> None:
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
def test_ties_are_in_the_order_of_ids_whatever_k_is(kind: Kind, queries: int) -> None:
    chance = np.random.default_rng(4)
    few = rounded(unit(chance.normal(size=(5, DIMENSION))))
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


def test_what_is_removed_is_not_found_any_more(kind: Kind) -> None:
    vectors = random_vectors(200)
    index = kind(vectors)
    gone = np.arange(200) % 3 == 0
    index.remove(np.append(vectors.ids[gone], 999_999))
    assert len(index) == 200 - gone.sum()
    query = unit(np.random.default_rng(5).normal(size=(1, DIMENSION)))
    np.testing.assert_array_equal(index.search(query, 133)[1][0], brute_force(kept(vectors, ~gone), query[0], 133)[1])


def test_a_saved_index_is_opened_with_its_revision(kind: Kind, tmp_path: Path) -> None:
    vectors = random_vectors(100)
    index = kind(vectors)
    index.revision = 7_000_000_000
    index.save(tmp_path / "image.faiss")
    opened = VectorIndex.open(tmp_path / "image.faiss", stored(vectors))
    assert opened.revision == saved_revision(tmp_path / "image.faiss") == 7_000_000_000
    assert (len(opened), opened.dimension) == (100, DIMENSION)
    for one, other in zip(opened.search(vectors.rows, 10), index.search(vectors.rows, 10), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [path.name for path in tmp_path.iterdir()] == ["image.faiss"]


def test_an_opened_index_can_be_added_to(tmp_path: Path) -> None:
    vectors = random_vectors(100)
    index = exact(kept(vectors, np.arange(100) < 60))
    index.save(tmp_path / "image.faiss")
    opened = VectorIndex.open(tmp_path / "image.faiss", stored(vectors))
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
            VectorIndex.open(path, stored(random_vectors(1)))
            pytest.fail(f"damage {number} went unnoticed")
    with pytest.raises(FileNotFoundError):
        VectorIndex.open(tmp_path / "none.faiss", stored(random_vectors(1)))


def test_an_index_that_cannot_be_written_is_an_os_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        exact(random_vectors(10)).save(tmp_path / "nowhere" / "image.faiss")
    (tmp_path / "image.faiss").mkdir()
    with pytest.raises(OSError):  # a folder is in its place
        exact(random_vectors(10)).save(tmp_path / "image.faiss")
    assert [path.name for path in tmp_path.iterdir()] == ["image.faiss"]


def clusters(count: int, dimension: int, seed: int = 0) -> Vectors:
    """Vectors close to each other, as photos' are, with dimensions in which all lie far out or none differ."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(count // 50, dimension))
    rows = centres[chance.integers(len(centres), size=count)] + 0.3 * chance.normal(size=(count, dimension))
    rows[:, 0] += 8
    rows[:, 1] = 0
    return Vectors(chance.permutation(count).astype(np.int64), unit(rows).astype(np.float16).astype(np.float32))


def test_among_many_none_is_missed_by_looking_at_a_byte_of_each_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.nearest.exact.DEPTH", 20)
    vectors = clusters(20_000, 64)
    index = VectorIndex(64)
    for part in np.array_split(np.arange(20_000), 3):
        index.add(kept(vectors, np.isin(np.arange(20_000), part)))
        index.search(vectors.rows[:1], 1)  # its codes are there, and what comes is added to them
    index.remove(vectors.ids[::7])
    left = kept(vectors, np.arange(20_000) % 7 != 0)
    allowed = left.ids[::3]
    some = kept(left, np.arange(len(left)) % 3 == 0)
    for query in np.concatenate([vectors.rows[:20], unit(np.random.default_rng(1).normal(size=(20, 64)))]):
        assert_nearest(index.search(query[np.newaxis], 10), left, query)
        assert_nearest(index.search(query[np.newaxis], 10, allowed=allowed), some, query)


def assert_nearest(found: tuple[np.ndarray, np.ndarray], vectors: Vectors, query: np.ndarray) -> None:
    scores, ids = brute_force(vectors, query, 10)
    np.testing.assert_allclose(found[0][0], np.minimum(scores, 1), atol=1e-6)
    np.testing.assert_array_equal(found[1][0], ids)


def test_vectors_unlike_all_before_are_found_among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    scan_first(monkeypatch)
    chance = np.random.default_rng(0)
    few = Vectors(np.arange(50), unit(np.eye(64)[:1] + 0.01 * chance.normal(size=(50, 64))))
    index = VectorIndex(64)
    index.add(few)
    index.search(few.rows[:1], 5)
    others = Vectors(np.arange(50, 550), unit(chance.normal(size=(500, 64))))
    index.add(others)
    rows = np.concatenate([few.rows, others.rows]).astype(np.float16).astype(np.float32)
    for query in others.rows[:5]:
        assert_nearest(index.search(query[np.newaxis], 10), Vectors(np.arange(550), rows), query)


def test_several_threads_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clusters(5000, 64)
    index = VectorIndex(64)
    index.add(vectors)
    monkeypatch.setattr("indexer.nearest.rough.processors", lambda: 3)
    for share in (10**9, 64):
        monkeypatch.setattr("indexer.nearest.rough.SHARE", share)
        for query in vectors.rows[:5]:
            assert_nearest(index.search(query[np.newaxis], 10), vectors, query)
            even = kept(vectors, vectors.ids % 2 == 0)
            assert_nearest(index.search(query[np.newaxis], 10, allowed=even.ids), even, query)


def test_an_exact_index_is_written_as_faiss_writes_it(tmp_path: Path) -> None:
    vectors = random_vectors(100)
    exact(vectors).save(tmp_path / "image.faiss")
    read = faiss.read_index(str(tmp_path / "image.faiss"))
    np.testing.assert_array_equal(faiss.vector_to_array(read.id_map), vectors.ids)
    np.testing.assert_array_equal(read.index.reconstruct_n(0, 100), vectors.rows)


@pytest.mark.skipif(faiss.get_num_gpus() == 0, reason="no GPU")
def test_the_gpu_finds_what_the_processor_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = random_vectors(5000)
    index = exact(vectors)
    asked = unit(np.random.default_rng(6).normal(size=(50, DIMENSION)))
    scores, ids = index.search(asked, 20)
    monkeypatch.setattr("indexer.nearest.gpu.WINS_FROM", 0)
    gpu_scores, gpu_ids = index.search(asked, 20)
    np.testing.assert_allclose(gpu_scores, scores, atol=1e-6)
    assert (gpu_ids == ids).mean() > 0.99

"""Every kind of index that may be chosen against brute force: ids, order and scores."""

from collections.abc import Callable

import faiss
import numpy as np
import pytest
from stored import rounded, stored

from indexer.errors import DamageWarning
from indexer.items import Vectors
from indexer.nearest.index import VectorIndex
from indexer.nearest.ivf import IVF, learn_centroids
from indexer.storage.stored_vectors import StoredVectors

DIMENSION = 16


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_vectors(count: int, seed: int = 0) -> Vectors:
    """Vectors under ids in no order, with gaps."""
    chance = np.random.default_rng(seed)
    rows = rounded(unit(chance.normal(size=(count, DIMENSION))))
    return Vectors(chance.permutation(10 * count)[:count].astype(np.int64), rows)


def exact(vectors: Vectors) -> VectorIndex:
    return VectorIndex(stored(vectors), vectors.ids)


def asked_before(vectors: Vectors) -> VectorIndex:
    """An exact index that has its int8 prefilter."""
    index = exact(vectors)
    index.search(vectors.rows[:1], 1)
    return index


def inverted(vectors: Vectors) -> VectorIndex:
    """One that looks at everything: then it is exact."""
    ivf = IVF.empty(learn_centroids(vectors.rows, 8), vectors.rows, nprobe=8, refine_k=10_000)
    ivf.add(vectors)
    return VectorIndex(stored(vectors), ivf=ivf)


Kind = Callable[[Vectors], VectorIndex]


@pytest.fixture(autouse=True)
def _library(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("library"))


@pytest.fixture(params=["exact", "exact, with a prefilter", "inverted"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    """What makes an index."""
    if request.param == "inverted":
        return inverted
    if request.param == "exact, with a prefilter":
        with_a_prefilter(monkeypatch)
        return asked_before
    return exact


def with_a_prefilter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PREFILTER_FROM": 0, "REFINE_K": 3, "REFINE_FACTOR": 2, "REFINE_SHARE": 0, "AGAIN": 2}.items():
        monkeypatch.setattr(f"indexer.nearest.exact.{name}", value)


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
    index = VectorIndex(stored(random_vectors(1)))
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


def clusters(count: int, dimension: int, seed: int = 0) -> Vectors:
    """Vectors close to each other, as photos' are, with dimensions in which all lie far out or none differ."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(count // 50, dimension))
    rows = centres[chance.integers(len(centres), size=count)] + 0.3 * chance.normal(size=(count, dimension))
    rows[:, 0] += 8
    rows[:, 1] = 0
    return Vectors(chance.permutation(count).astype(np.int64), rounded(unit(rows)))


@pytest.mark.parametrize("questions", [1, 40])
def test_none_of_many_is_missed(questions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.nearest.exact.PREFILTER_FROM", 0)
    for name, value in {"REFINE_K": 20, "REFINE_FACTOR": 2, "REFINE_SHARE": 0}.items():
        monkeypatch.setattr(f"indexer.nearest.exact.{name}", value)
    vectors = clusters(20_000, 64)
    index = VectorIndex(stored(vectors))
    for part in np.array_split(vectors.ids, 3):
        index.add(part)
        index.search(vectors.rows[:1], 1)
    index.remove(vectors.ids[::7])
    left = kept(vectors, np.arange(20_000) % 7 != 0)
    some = kept(left, np.arange(len(left)) % 3 == 0)
    asked = np.concatenate([vectors.rows[:20], unit(np.random.default_rng(1).normal(size=(20, 64)))])
    for start in range(0, 40, questions):
        few = asked[start : start + questions]
        for truth, allowed in ((left, None), (some, some.ids)):
            found = index.search(few, 10, allowed=allowed)
            for query, scores, ids in zip(few, *found, strict=True):
                assert_nearest((scores[np.newaxis], ids[np.newaxis]), truth, query)


def assert_nearest(found: tuple[np.ndarray, np.ndarray], vectors: Vectors, query: np.ndarray) -> None:
    scores, ids = brute_force(vectors, query, 10)
    np.testing.assert_allclose(found[0][0], np.minimum(scores, 1), atol=1e-6)
    np.testing.assert_array_equal(found[1][0], ids)


def test_several_threads_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    with_a_prefilter(monkeypatch)
    vectors = clusters(5000, 64)
    index = asked_before(vectors)
    monkeypatch.setattr("indexer.nearest.prefilter.processors", lambda: 3)
    for share in (10**9, 64):
        monkeypatch.setattr("indexer.nearest.prefilter.SHARE", share)
        for query in vectors.rows[:5]:
            assert_nearest(index.search(query[np.newaxis], 10), vectors, query)
            even = kept(vectors, vectors.ids % 2 == 0)
            assert_nearest(index.search(query[np.newaxis], 10, allowed=even.ids), even, query)


def test_damaged_vectors_are_said_and_no_answer_and_hide_no_other(kind: Kind) -> None:
    vectors = random_vectors(500)
    index = kind(vectors)
    damaged = vectors.ids[::50]
    damage(index.stored, damaged)
    again = VectorIndex(StoredVectors(index.stored.path, DIMENSION), index.fresh.ids, ivf=index.ivf)
    left = kept(vectors, ~np.isin(vectors.ids, damaged))
    with pytest.warns(DamageWarning, match="are damaged .* `descry index` makes them anew"):
        for query in unit(np.random.default_rng(6).normal(size=(10, DIMENSION))):
            for _ in range(2):
                found = again.search(query[np.newaxis], 10)[1][0]
                np.testing.assert_array_equal(found, brute_force(left, query, 10)[1])


def damage(stored: StoredVectors, ids: np.ndarray) -> None:
    """Noise in the places of ids."""
    content = bytearray(stored.path.read_bytes())
    chance = np.random.default_rng(5)
    width = stored._width
    for id in ids.tolist():
        content[id * width : (id + 1) * width] = chance.bytes(width)
    stored.path.write_bytes(content)


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

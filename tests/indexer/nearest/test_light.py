"""The first question, answered without FAISS: what FAISS would answer, and brute force, for both kinds of index."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from stored import rounded, stored

from indexer.items import Float32Array, Int64Array, Vectors
from indexer.nearest import light as light_index
from indexer.nearest.index import VectorIndex
from indexer.nearest.inverted import Inverted, learn_centroids
from indexer.nearest.light import MANY, LightIndex
from indexer.nearest.ranking import best
from indexer.nearest.saved import SavedExact, SavedInverted, read_saved, saved_revision

DIMENSION, COUNT, LISTS = 36, 3000, 16  # 36 signs do not fill their last byte


@pytest.fixture(autouse=True)
def _library(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("library"))


def unit(rows: np.ndarray) -> Float32Array:
    """Unit rows as a library gives them back."""
    return rounded(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def drawn(count: int, *, seed: int, first: int = 1) -> Vectors:
    """Vectors by chance, of which every hundredth is there twice, under ids with gaps."""
    chance = np.random.default_rng(seed)
    rows = unit(chance.normal(size=(count, DIMENSION)))
    rows[50::100] = rows[0 : len(rows[50::100]) * 100 : 100]
    return Vectors(first + 3 * chance.permutation(count).astype(np.int64), rows)


def together(*parts: Vectors) -> Vectors:
    return Vectors(np.concatenate([one.ids for one in parts]), np.concatenate([one.rows for one in parts]))


def those(vectors: Vectors, ids: Int64Array) -> Vectors:
    there = np.isin(vectors.ids, ids)
    return Vectors(vectors.ids[there], vectors.rows[there])


def exact(vectors: Vectors, path: Path) -> VectorIndex:
    index = VectorIndex(DIMENSION, revision=7)
    index.add(vectors)
    index.save(path)
    return index


def inverted(vectors: Vectors, path: Path, *, probes: int = 6, depth: int = 60) -> VectorIndex:
    """An inverted file that does not round its questions: FAISS does so, which is quicker and misses more."""
    centroids = learn_centroids(vectors.rows, LISTS)
    lists = Inverted.empty(centroids, vectors.rows, stored(vectors), probes=probes, depth=depth)
    index = VectorIndex.approximate(lists, revision=7)
    index.add(vectors)
    index.save(path)
    lists._index.qb = 0
    return index


def light(path: Path, vectors: Vectors) -> LightIndex:
    """The index at `path` over a catalog of these vectors; nothing else is asked."""

    def heavy() -> VectorIndex:
        raise AssertionError("FAISS was asked")

    return LightIndex(read_saved(path), DIMENSION, stored=stored(vectors), heavy=heavy)


def brute_force(vectors: Vectors, query: Float32Array, k: int) -> Int64Array:
    scores = np.array([np.float32(np.dot(row, query)) for row in vectors.rows])
    return vectors.ids[np.lexsort((vectors.ids, -scores))[:k]]


QUERIES = drawn(40, seed=2).rows[:MANY]


def test_an_exact_index_answers_as_brute_force_does_ties_by_id(tmp_path: Path) -> None:
    vectors = drawn(COUNT, seed=1)
    heavy = exact(vectors, tmp_path / "index")
    scores, ids = light(tmp_path / "index", vectors).search(QUERIES, 20)
    assert np.allclose(scores, heavy.search(QUERIES, 20)[0], atol=1e-6)
    twins = vectors.rows[: MANY * 100 : 100]  # each is there twice
    for queries, found in ((QUERIES, ids), (twins, light(tmp_path / "index", vectors).search(twins, 20)[1])):
        assert [row.tolist() for row in found] == [brute_force(vectors, query, 20).tolist() for query in queries]


def test_an_inverted_file_answers_as_faiss_does(tmp_path: Path) -> None:
    vectors = drawn(COUNT, seed=1)
    heavy = inverted(vectors, tmp_path / "index")
    for k in (1, 10, 100):
        scores, ids = light(tmp_path / "index", vectors).search(QUERIES, k)
        true_scores, true_ids = heavy.search(QUERIES, k)
        assert (ids == true_ids).mean() > 0.99  # what is last of those looked at may differ by a rounding
        assert np.allclose(scores, true_scores, atol=1e-3)


def test_where_the_nearest_lists_hold_too_few_all_are_scanned(tmp_path: Path) -> None:
    vectors = drawn(200, seed=1)
    inverted(vectors, tmp_path / "index", probes=1)
    ids = light(tmp_path / "index", vectors).search(QUERIES, 200)[1]
    assert all(set(row) == set(vectors.ids) for row in ids)


@pytest.mark.parametrize("make", [exact, inverted])
def test_what_has_come_and_gone_since_it_was_saved_counts(make: object, tmp_path: Path) -> None:
    assert callable(make)
    saved, fresh = drawn(1000, seed=1), drawn(50, seed=3, first=2)
    make(saved, tmp_path / "index", **({"probes": LISTS, "depth": 1000} if make is inverted else {}))
    index = light(tmp_path / "index", together(saved, fresh))
    gone = np.concatenate([saved.ids[::7], fresh.ids[::5], [999_999]])
    index.add(fresh)
    index.remove(gone)
    left = those(together(saved, fresh), np.setdiff1d(together(saved, fresh).ids, gone))
    assert len(index) == len(left)
    ids = index.search(QUERIES, 15)[1]
    assert [row.tolist() for row in ids] == [brute_force(left, query, 15).tolist() for query in QUERIES]


@pytest.mark.parametrize("make", [exact, inverted])
def test_a_filter_lets_through_what_it_allows(make: object, tmp_path: Path) -> None:
    assert callable(make)
    vectors = drawn(COUNT, seed=1)
    make(vectors, tmp_path / "index")
    allowed = np.sort(vectors.ids)[::9]
    ids = light(tmp_path / "index", vectors).search(QUERIES, 15, allowed=allowed)[1]
    few = those(vectors, allowed)
    assert [row.tolist() for row in ids] == [brute_force(few, query, 15).tolist() for query in QUERIES]


@pytest.mark.parametrize("make", [exact, inverted])
def test_a_filter_that_allows_what_has_gone_or_never_was_costs_no_answer(make: object, tmp_path: Path) -> None:
    assert callable(make)
    vectors = drawn(COUNT, seed=1)
    make(vectors, tmp_path / "index")
    index = light(tmp_path / "index", vectors)
    nearest = np.concatenate([brute_force(vectors, query, 10) for query in QUERIES])
    index.remove(nearest)
    left = those(vectors, np.setdiff1d(vectors.ids, nearest))
    ids = index.search(QUERIES, 15, allowed=np.append(vectors.ids, 999_999))[1]
    assert [row.tolist() for row in ids] == [brute_force(left, query, 15).tolist() for query in QUERIES]


def test_where_there_are_fewer_than_asked_for_the_rest_is_marked(tmp_path: Path) -> None:
    vectors = drawn(3, seed=1)
    exact(vectors, tmp_path / "index")
    scores, ids = light(tmp_path / "index", vectors).search(QUERIES[:1], 5)
    assert set(ids[0, :3]) == set(vectors.ids) and ids[0, 3:].tolist() == [-1, -1]
    assert np.isneginf(scores[0, 3:]).all()


def test_without_anything_saved_all_is_fresh() -> None:
    vectors = drawn(30, seed=1)
    index = LightIndex(None, DIMENSION, stored=stored(vectors), heavy=lambda: VectorIndex(DIMENSION))
    assert (len(index), index.revision) == (0, 0)
    assert index.search(QUERIES[:1], 2)[1].tolist() == [[-1, -1]]
    assert index.sample(5).shape == (0, DIMENSION)
    index.add(vectors)
    assert index.search(QUERIES[:1], 4)[1][0].tolist() == brute_force(vectors, QUERIES[0], 4).tolist()


def test_many_questions_and_wide_filters_are_left_to_faiss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = drawn(10_000, seed=1)
    heavy = inverted(vectors, tmp_path / "index")
    index = LightIndex(read_saved(tmp_path / "index"), DIMENSION, stored=stored(vectors), heavy=lambda: heavy)
    many = np.concatenate([QUERIES, QUERIES[:1]])
    assert (index.search(many, 5)[1] == heavy.search(many, 5)[1]).all()
    monkeypatch.setattr(light_index, "READ_ALL", 5000 * DIMENSION)
    wide = vectors.ids[:5001]
    assert (index.search(QUERIES, 5, allowed=wide)[1] == heavy.search(QUERIES, 5, allowed=wide)[1]).all()


@pytest.mark.parametrize("make", [exact, inverted])
def test_the_sample_is_that_of_the_heavy_index(make: object, tmp_path: Path) -> None:
    assert callable(make)
    vectors = drawn(1000, seed=1)
    heavy = make(vectors, tmp_path / "index")
    for count in (7, 100, 5000):
        assert np.allclose(light(tmp_path / "index", vectors).sample(count), heavy.sample(count), atol=1e-3)


def test_the_best_are_sorted_by_score_and_then_by_id() -> None:
    scores, ids = best(np.array([0.5, 1.2, 0.5, 0.1], np.float32), np.array([9, 4, 3, 1]), 3)
    assert (scores.tolist(), ids.tolist()) == ([1.0, 0.5, 0.5], [4, 3, 9])


# the files


def test_files_of_both_kinds_are_read_as_they_were_written(tmp_path: Path) -> None:
    vectors = drawn(COUNT, seed=1)
    exact(vectors, tmp_path / "exact")
    inverted(vectors, tmp_path / "inverted", probes=5, depth=77)
    one, other = read_saved(tmp_path / "exact"), read_saved(tmp_path / "inverted")
    assert isinstance(one, SavedExact) and isinstance(other, SavedInverted)
    assert (one.ids == vectors.ids).all() and (one.rows == vectors.rows).all()
    assert (other.nlist, other.nprobe, other.depth, other.total) == (LISTS, 5, 77, COUNT)
    held = np.concatenate([ids for _, _, ids in other.lists(range(LISTS))])
    assert sorted(held) == sorted(vectors.ids)
    assert one.revision == other.revision == saved_revision(tmp_path / "exact") == 7


@pytest.mark.parametrize("make", [exact, inverted])
def test_a_file_that_is_cut_off_or_goes_on_is_refused(make: object, tmp_path: Path) -> None:
    assert callable(make)
    make(drawn(400, seed=1), tmp_path / "index")
    whole = (tmp_path / "index").read_bytes()
    for content in (b"", *(whole[:size] for size in (2, 30, 90, 200, 2000, len(whole) - 1)), whole + b"\0"):
        (tmp_path / "index").write_bytes(content)
        with pytest.raises(ValueError, match=r"\w"):
            read_saved(tmp_path / "index")


@pytest.mark.parametrize("key", ["HNSW8", "IDMap,Flat", "IVF4,SQfp16", "IDMap,SQ8"])
def test_kinds_that_descry_does_not_write_are_refused(key: str, tmp_path: Path) -> None:
    index = faiss.index_factory(DIMENSION, key, faiss.METRIC_INNER_PRODUCT)
    vectors = drawn(400, seed=1)
    index.train(vectors.rows)
    index.add_with_ids(vectors.rows, vectors.ids) if key != "HNSW8" else index.add(vectors.rows)
    faiss.write_index(index, str(tmp_path / "index"))
    (tmp_path / "index").write_bytes((tmp_path / "index").read_bytes() + bytes(8))
    with pytest.raises(ValueError, match=r"\w"):
        read_saved(tmp_path / "index")


def test_no_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_saved(tmp_path / "none")

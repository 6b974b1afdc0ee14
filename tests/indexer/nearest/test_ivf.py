"""Approximate search against brute force: what it finds, and that changes, filters and files lose nothing."""

from pathlib import Path

import numpy as np
import pytest
from stored import rounded, stored

from indexer.items import Vectors
from indexer.nearest import index as index_module
from indexer.nearest import ivf as ivf_module
from indexer.nearest.index import VectorIndex
from indexer.nearest.ivf import IVF, KEPT, learn_centroids
from indexer.nearest.ivf_parameters import IVFParameters, nprobe_for
from indexer.nearest.saved import DamagedIndex, MappedIVF, Sealed
from indexer.nearest.tuning import recall_of

DIMENSION, COUNT, LISTS = 32, 4000, 32


@pytest.fixture(autouse=True)
def _library(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("library"))


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clustered(count: int = COUNT, *, seed: int = 0, first: int = 0) -> Vectors:
    """Vectors around fifty centres, as a library gives them back, under ids with gaps."""
    centres = np.random.default_rng(9).normal(size=(50, DIMENSION))
    chance = np.random.default_rng(seed)
    rows = centres[chance.integers(50, size=count)] + chance.normal(size=(count, DIMENSION))
    return Vectors(first + 3 * chance.permutation(count).astype(np.int64), rounded(unit(rows)))


def filled(vectors: Vectors, *, probes: int = 8, depth: int = COUNT) -> IVF:
    """Of so short vectors the codes tell little: most tests look at all that they find."""
    ivf = IVF.empty(learn_centroids(vectors.rows, LISTS), vectors.rows, nprobe=probes, refine_k=depth)
    ivf.add(vectors)
    return ivf


def made(vectors: Vectors, *, probes: int = 8, depth: int = COUNT, held: Vectors | None = None) -> VectorIndex:
    return VectorIndex(stored(held or vectors), ivf=filled(vectors, probes=probes, depth=depth), revision=5)


def save(index: VectorIndex, path: Path) -> None:
    ivf = index.in_faiss()
    assert ivf is not None
    ivf.save(path, revision=index.revision, generation="here", fresh=index.fresh.pieces(), gone=index.gone)


def opened(index: VectorIndex, path: Path, vectors: Vectors) -> VectorIndex:
    save(index, path)
    file = Sealed(path)
    return VectorIndex(stored(vectors), ivf=MappedIVF(file), revision=file.revision)


def part(vectors: Vectors, chosen: np.ndarray) -> Vectors:
    return Vectors(vectors.ids[chosen], vectors.rows[chosen])


def both(one: Vectors, other: Vectors) -> Vectors:
    return Vectors(np.concatenate([one.ids, other.ids]), np.concatenate([one.rows, other.rows]))


def brute_force(vectors: Vectors, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The slow truth: all cosines, sorted by score and then id."""
    scores = queries @ vectors.rows.T
    order = np.lexsort((np.broadcast_to(vectors.ids, scores.shape), -scores))[:, :k]
    return np.take_along_axis(scores, order, 1), vectors.ids[order]


def assert_same(ids: np.ndarray, truth: tuple[np.ndarray, np.ndarray]) -> None:
    """The same ids in the same order, but for those whose scores are equal up to the rounding of their sums."""
    true_scores, true_ids = truth
    for row, scores, wanted in zip(ids, true_scores, true_ids, strict=True):
        score = dict(zip(wanted.tolist(), scores.tolist(), strict=True))
        assert [score.get(id, -2) for id in row.tolist()] == pytest.approx(scores.tolist(), abs=1e-6)
        assert len(set(row)) == len(row)


QUERIES = unit(clustered(60, seed=1).rows + np.random.default_rng(2).normal(size=(60, DIMENSION)) / 10)


@pytest.mark.parametrize("mapped", [False, True])
def test_with_all_lists_ids_order_and_scores_are_those_of_brute_force(mapped: bool, tmp_path: Path) -> None:
    vectors = clustered()
    index = made(vectors, probes=LISTS)
    index = opened(index, tmp_path / "image.faiss", vectors) if mapped else index
    scores, ids = index.search(QUERIES, 15)
    truth = brute_force(vectors, QUERIES, 15)
    assert_same(ids, truth)
    np.testing.assert_allclose(scores, truth[0], atol=1e-5)


def test_with_some_lists_nearly_all_is_found_and_what_is_found_has_its_own_score() -> None:
    vectors = clustered()
    index = made(vectors)
    scores, ids = index.search(QUERIES, 10)
    assert 0.9 < recall_of(ids, brute_force(vectors, QUERIES, 10)[1]) < 1
    row = dict(zip(vectors.ids.tolist(), vectors.rows, strict=True))
    own = [[float(row[int(id)] @ query) for id in found] for found, query in zip(ids, QUERIES, strict=True)]
    np.testing.assert_allclose(scores, own, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_more_lists_find_more() -> None:
    vectors = clustered()
    truth = brute_force(vectors, QUERIES, 10)[1]
    recalls = [recall_of(made(vectors, probes=probes).search(QUERIES, 10)[1], truth) for probes in (1, 4, 16, LISTS)]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1] == 1


def test_the_deeper_codes_are_read_again_the_more_is_found_and_scores_are_exact_all_the_same() -> None:
    vectors = clustered()
    truth = brute_force(vectors, QUERIES, 10)[1]
    row = dict(zip(vectors.ids.tolist(), vectors.rows, strict=True))
    recalls = []
    for depth in (40, 100, 400, COUNT):
        scores, ids = made(vectors, probes=LISTS, depth=depth).search(QUERIES, 10)
        own = [[float(row[int(id)] @ query) for id in found] for found, query in zip(ids, QUERIES, strict=True)]
        np.testing.assert_allclose(scores, own, atol=1e-6)
        recalls.append(recall_of(ids, truth))
    assert recalls == sorted(recalls)
    assert 0.5 < recalls[0] < recalls[-1] == 1


def test_a_code_takes_a_bit_a_dimension_and_few_bytes_more(tmp_path: Path) -> None:
    vectors = clustered()
    save(made(vectors), tmp_path / "image.faiss")
    fixed = 4 * DIMENSION * (LISTS + DIMENSION) + 2 * DIMENSION * KEPT  # centroids, rotation, sample
    size = (tmp_path / "image.faiss").stat().st_size - fixed
    assert size / COUNT < DIMENSION / 8 + 8 + 8 + 0.5  # the code, its numbers, the id


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5])
def test_a_filter_of_few_is_exact_and_one_of_many_misses_little(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered()
    allowed = part(vectors, np.random.default_rng(3).random(COUNT) < share)
    truth = brute_force(allowed, QUERIES, 10)
    index = made(vectors)
    found = index.search(QUERIES, 10, allowed=allowed.ids)[1]
    assert_same(found[:, : truth[1].shape[1]], truth)
    monkeypatch.setattr(index_module, "READ_ALL", 0)
    found = index.search(QUERIES, 10, allowed=allowed.ids)[1]
    assert set(found[found >= 0]) <= set(allowed.ids)
    assert recall_of(found, truth[1]) > 0.95


def test_the_fewer_are_allowed_the_more_lists_are_scanned() -> None:
    scanned = [nprobe_for(4, LISTS, 10, candidates, COUNT) for candidates in (COUNT, 2000, 1000, 250, 10, 0)]
    assert scanned[:3] == [4, 7, 11]
    assert scanned == sorted(scanned)
    assert scanned[-1] == LISTS


def test_asked_for_more_than_the_nearest_lists_hold_it_looks_into_all() -> None:
    vectors = clustered(500)
    index = made(vectors, probes=1)
    ids = index.search(QUERIES[:3], 600)[1]
    for row in ids:
        assert set(row[:500]) == set(vectors.ids)
    assert (ids[:, 500:] == -1).all()
    assert (index.search(QUERIES[:3], 120)[1] >= 0).all()


@pytest.mark.parametrize("mapped", [False, True])
def test_what_comes_is_found_and_what_goes_is_not(mapped: bool, tmp_path: Path) -> None:
    old, new = clustered(), clustered(300, seed=4, first=100_000)
    gone = np.arange(COUNT) % 5 == 0
    left = both(part(old, ~gone), part(new, np.arange(300) >= 50))
    index = made(old, probes=LISTS, held=both(old, new))
    index = opened(index, tmp_path / "image.faiss", left) if mapped else index
    index.add(new.ids)
    index.remove(np.concatenate([old.ids[gone], new.ids[:50], [999_999]]))
    index.remove(old.ids[gone][:7])  # again
    assert len(index) == len(left)
    scores, ids = index.search(QUERIES, 20)
    truth = brute_force(left, QUERIES, 20)
    assert_same(ids, truth)
    np.testing.assert_allclose(scores, truth[0], atol=1e-5)
    allowed = np.concatenate([old.ids[:200], new.ids])
    there = part(left, np.isin(left.ids, allowed))
    assert_same(index.search(QUERIES, 20, allowed=allowed)[1], brute_force(there, QUERIES, 20))


def test_changes_to_an_opened_index_are_in_the_next_file_and_not_in_the_old_one(tmp_path: Path) -> None:
    old, new = clustered(), clustered(300, seed=4, first=100_000)
    index = opened(made(old, probes=LISTS), tmp_path / "image.faiss", both(old, new))
    before = (tmp_path / "image.faiss").read_bytes()
    index.add(new.ids)
    index.remove(old.ids[:1000])
    assert (tmp_path / "image.faiss").read_bytes() == before
    index.revision = 6
    other = opened(index, tmp_path / "next.faiss", both(old, new))
    assert (len(other), other.revision, other.is_exact) == (COUNT - 700, 6, False)
    np.testing.assert_array_equal(other.search(QUERIES, 20)[1], index.search(QUERIES, 20)[1])
    left = both(part(old, np.arange(COUNT) >= 1000), new)
    assert_same(other.search(QUERIES, 20)[1], brute_force(left, QUERIES, 20))


def test_an_open_index_goes_on_answering_while_another_takes_its_place(tmp_path: Path) -> None:
    vectors = clustered()
    index = opened(made(vectors), tmp_path / "image.faiss", vectors)
    before = index.search(QUERIES, 10)
    save(made(clustered(100, seed=5)), tmp_path / "image.faiss")
    for one, other in zip(index.search(QUERIES, 10), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(MappedIVF(Sealed(tmp_path / "image.faiss"))) == 100


def test_a_query_changes_nothing(tmp_path: Path) -> None:
    index = made(clustered())
    save(index, tmp_path / "before")
    index.search(QUERIES, 500)
    index.search(QUERIES[:1], 10, allowed=np.arange(0, 300, 3, dtype=np.int64))
    save(index, tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux lists a process's threads")
def test_a_question_to_a_mapped_index_starts_no_threads(tmp_path: Path) -> None:
    vectors, queries = clustered(), unit(np.random.default_rng(1).normal(size=(5, DIMENSION)))
    new = made(vectors)
    new.search(queries[:1], 10)  # what FAISS's OpenMP starts, it starts once
    index = opened(new, tmp_path / "image.faiss", vectors)
    before = set(Path("/proc/self/task").iterdir())
    for query in queries:
        index.search(query[np.newaxis], 10)
    assert set(Path("/proc/self/task").iterdir()) == before


def test_equal_vectors_come_in_the_order_of_their_ids() -> None:
    vectors = clustered(200)
    twins = Vectors(np.arange(400, dtype=np.int64)[::-1].copy(), np.repeat(vectors.rows, 2, axis=0))
    index = made(twins, probes=LISTS)
    for k in (1, 2, 5):
        np.testing.assert_array_equal(index.search(vectors.rows, 5)[1][:, :k], index.search(vectors.rows, k)[1])
    ids = index.search(vectors.rows, 2)[1]
    np.testing.assert_array_equal(ids[:, 0] + 1, ids[:, 1])


@pytest.mark.parametrize("mapped", [False, True])
def test_a_sample_is_of_the_vectors_that_it_holds(mapped: bool, tmp_path: Path) -> None:
    vectors = clustered()
    index = made(vectors)
    index = opened(index, tmp_path / "image.faiss", vectors) if mapped else index
    sample = index.sample(100)
    assert sample.shape == (100, DIMENSION)
    held = {row.tobytes() for row in vectors.rows}
    assert len({row.tobytes() for row in sample}) == 100
    assert all(row.tobytes() in held for row in sample)
    assert index.sample(10_000).shape == (KEPT, DIMENSION)


@pytest.mark.parametrize("ids", [[3, 5, 9], [0, 7, 8, 15, 16], [2, 10**12], []])
def test_ids_are_let_through_whether_they_lie_close_or_far_apart(ids: list[int]) -> None:
    lets = ivf_module.selector(np.array(ids, np.int64))
    for id in {*ids, 0, 1, 4, 6, 8, 10, 17, 10**12 - 1}:
        assert bool(lets.is_member(id)) == (id in ids)


def test_parameters_are_kept_as_text_and_those_of_earlier_versions_are_read() -> None:
    chosen = IVFParameters(nlist=512, nprobe=9, recall=0.985, target=0.98, vectors=40_000, checksum="ab", refine_k=7)
    assert IVFParameters.from_json(chosen.as_json()) == chosen
    old = '{"lists": 512, "probes": 9, "recall": 0.985, "wished": 0.98, "vectors": 40000, "checksum": "ab", "depth": 7}'
    assert IVFParameters.from_json(old) == chosen


# first questions, in numpy


@pytest.mark.parametrize("k", [1, 10, 100])
def test_a_first_question_is_answered_as_faiss_does(k: int, tmp_path: Path) -> None:
    vectors = clustered()
    new = made(vectors, probes=6, depth=60)
    save(new, tmp_path / "image.faiss")
    ivf = new.ivf
    assert isinstance(ivf, IVF)
    ivf._index.qb = 0  # FAISS rounds questions else, which is quicker and misses more
    same = []
    for query in QUERIES[:20]:
        first = opened(new, tmp_path / "first.faiss", vectors)
        scores, ids = first.search(query[np.newaxis], k)
        assert isinstance(first.ivf, MappedIVF)
        true_scores, true_ids = new.search(query[np.newaxis], k)
        same.append((ids == true_ids).mean())
        np.testing.assert_allclose(scores, true_scores, atol=1e-3)
    assert np.mean(same) > 0.99  # what is last of those looked at may differ by a rounding


def test_a_second_question_a_filter_of_many_and_many_questions_are_faiss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "READ_ALL", 0)
    vectors = clustered()
    new = made(vectors, probes=LISTS)
    for ask in (
        lambda index: [index.search(QUERIES[:1], 5) for _ in range(2)][-1],
        lambda index: index.search(QUERIES[:1], 5, allowed=vectors.ids),
        lambda index: index.search(QUERIES, 5),
    ):
        index = opened(new, tmp_path / "image.faiss", vectors)
        np.testing.assert_array_equal(ask(index)[1], ask(new)[1])
        assert isinstance(index.ivf, IVF)


# saved files


def test_a_saved_file_names_its_revision_and_generation(tmp_path: Path) -> None:
    index = made(clustered())
    index.revision = 7_000_000_000
    save(index, tmp_path / "image.faiss")
    file = Sealed(tmp_path / "image.faiss")
    assert (file.revision, file.is_of("here"), file.is_of("there")) == (7_000_000_000, True, False)
    assert [path.name for path in tmp_path.iterdir()] == ["image.faiss"]


def test_a_file_that_is_cut_off_goes_on_or_is_another_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "image.faiss"
    save(made(clustered()), path)
    content = path.read_bytes()
    others = [b"", b"x", bytes(5000), b"\xff" * 100, *(content[:end] for end in (10, len(content) // 2, -9, -1))]
    for other in [*others, content + b"\0", content + content]:
        path.write_bytes(other)
        with pytest.raises(DamagedIndex):
            MappedIVF(Sealed(path))
    with pytest.raises(FileNotFoundError):
        Sealed(tmp_path / "none.faiss")


def test_whatever_byte_is_damaged_no_answer_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.nearest.saved.BLOCK", 1 << 11)
    vectors = clustered()
    path, chance = tmp_path / "image.faiss", np.random.default_rng(8)
    save(made(vectors, probes=4), path)
    content = path.read_bytes()
    truth = VectorIndex(stored(vectors), vectors.ids).search(QUERIES[:1], 10)[1]
    sound = opened(made(vectors, probes=4), tmp_path / "sound", vectors).search(QUERIES[:1], 10)[1]
    noticed = 0
    for place in chance.integers(len(content), size=100).tolist():
        damaged = bytearray(content)
        damaged[place] ^= int(chance.integers(1, 256))
        path.write_bytes(damaged)
        with pytest.raises(DamagedIndex):
            Sealed(path).check()
        try:
            ivf = MappedIVF(Sealed(path))
        except DamagedIndex:
            noticed += 1
            continue
        index = VectorIndex(stored(vectors), ivf=ivf, all_ids=lambda: vectors.ids)
        found = index.search(QUERIES[:1], 10)[1]
        np.testing.assert_array_equal(found, truth if index.is_exact else sound)
        again = index.search(QUERIES[:1], 10)[1]  # FAISS's: all is read then
        assert index.is_exact
        np.testing.assert_array_equal(again, truth)
    assert 0 < noticed < 100


def test_what_cannot_be_written_is_an_os_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        save(made(clustered(100)), tmp_path / "nowhere" / "image.faiss")
    (tmp_path / "image.faiss").mkdir()
    with pytest.raises(OSError, match=r"image\.faiss"):  # a folder is in its place
        save(made(clustered(100)), tmp_path / "image.faiss")
    assert [path.name for path in tmp_path.iterdir()] == ["image.faiss"]

"""The catalog against what it was told: nothing lost, nothing half, nothing said twice."""

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import LibraryDamaged, LibraryError, LibraryFull, LibraryTooNew
from indexer.items import Item, Source
from indexer.storage import migrations
from indexer.storage.catalog import Catalog
from indexer.storage.files import Failure
from indexer.storage.packing import pack, unpack, width
from indexer.storage.stored_vectors import vectors_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite3"


def made(path: Path) -> Catalog:
    catalog = Catalog(path)
    catalog.set_meta(dimension=8)
    return catalog


@pytest.fixture
def catalog(path: Path):
    catalog = made(path)
    yield catalog
    catalog.close()


def source(name: str, *, folder: str = "/photos", size: int = 1, mtime_ns: int = 1, modality: str = "image") -> Source:
    return Source(Path(folder, name), modality, size, mtime_ns)


def rows(count: int, dimension: int = 8, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def store(catalog: Catalog, file: Source, vectors: np.ndarray | None = None, *, fingerprint: bytes = b"") -> int:
    """Stores a file of as many items as there are vectors, one by default; gives its id."""
    vectors = rows(1) if vectors is None else vectors
    with catalog.atomic() as revision:
        file_id = catalog.files.put(file, fingerprint or os.urandom(16))
        items = [Item(file.modality, file.path, f"p{number}") for number in range(len(vectors))]
        catalog.put_items(file_id, items, vectors, revision)
        catalog.files.complete(file_id, file)
    return file_id


def all_ids(catalog: Catalog, modality: str = "image") -> list[int]:
    return [int(id) for vectors in catalog.vectors_since(modality, 0) for id in vectors.ids]


def test_an_item_comes_back_as_it_was_stored(catalog: Catalog) -> None:
    facts = {"width": 3, "taken": "2020-01-01T00:00:00", "camera": "Größe \u2603", "latitude": -1.5}
    item = Item("image", Path("/photos/näme '\"\n.jpg"), "", "", facts)
    with catalog.atomic() as revision:
        file_id = catalog.files.put(source(item.path.name))
        catalog.put_items(file_id, [item], rows(1), revision)
    (id,) = all_ids(catalog)
    (found,) = catalog.items([id])
    assert (found.modality, found.path, found.part, found.text) == (item.modality, item.path, item.part, item.text)
    assert found.facts == {**facts, "file_size": 1}
    assert catalog.items_at(item.path, "image") == [found]
    assert catalog.items_at(item.path, "text") == []


def test_items_come_in_the_order_of_their_ids_however_many(catalog: Catalog) -> None:
    store(catalog, source("many.csv"), rows(5000))
    ids = all_ids(catalog)
    wanted = np.random.default_rng(1).permutation(ids).tolist()
    assert [item.id for item in catalog.items([*wanted, 999_999])] == wanted


def test_vectors_are_rounded_to_twelve_bits_and_no_further(catalog: Catalog) -> None:
    catalog.set_meta(dimension=64)
    vectors = rows(300, dimension=64)
    store(catalog, source("a.csv"), vectors)
    kept = np.concatenate([piece.rows for piece in catalog.vectors_since("image", 0)])
    assert np.abs(kept - vectors).max() <= np.abs(vectors).max() / 2048
    assert np.abs(np.sum(kept * vectors, axis=1) - 1).max() < 2**-11
    assert kept.dtype == np.float32
    again = made(catalog.path.with_name("other.sqlite3"))
    again.set_meta(dimension=64)
    store(again, source("a.csv"), kept)
    np.testing.assert_array_equal(next(again.vectors_since("image", 0)).rows, kept)
    again.close()


def test_some_vectors_are_drawn_by_chance_and_always_the_same(catalog: Catalog) -> None:
    store(catalog, source("a.csv"), rows(2000))
    some = catalog.some_vectors("image", 200)
    assert 150 < len(some) < 250
    np.testing.assert_array_equal(catalog.some_vectors("image", 200).ids, some.ids)
    np.testing.assert_array_equal(catalog.vectors(some.ids.tolist()).rows, some.rows)
    assert np.abs(np.histogram(some.ids, bins=4, range=(1, 2000))[0] - 50).max() < 20
    assert len(catalog.some_vectors("image", 5000)) == 2000
    assert len(catalog.some_vectors("text", 100)) == 0


def test_vectors_come_in_bounded_pieces_and_only_since_the_revision(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.storage.catalog.READ_AHEAD", 7)
    store(catalog, source("a.csv"), rows(20))
    middle = catalog.revision
    store(catalog, source("b.csv"), rows(3))
    assert [len(piece) for piece in catalog.vectors_since("image", 0)] == [7, 7, 7, 2]
    assert [len(piece) for piece in catalog.vectors_since("image", middle)] == [3]
    assert list(catalog.vectors_since("image", catalog.revision)) == []
    assert list(catalog.vectors_since("text", 0)) == []
    assert catalog.changes_since("image", middle) == 3


def test_ids_are_never_used_again(catalog: Catalog) -> None:
    seen: set[int] = set()
    for _ in range(5):
        file_id = store(catalog, source("a.jpg"), rows(3))
        ids = set(all_ids(catalog)) - seen
        assert len(ids) == 3
        seen |= ids
        with catalog.atomic():
            catalog.files.forget([file_id])
    assert len(seen) == 15
    assert all_ids(catalog) == []


def test_removals_are_told_to_whoever_has_not_seen_them(catalog: Catalog) -> None:
    one, other = store(catalog, source("a.jpg"), rows(2)), store(catalog, source("b.jpg"))
    ids = all_ids(catalog)
    before = catalog.revision
    with catalog.atomic():
        catalog.files.forget([one])
    middle = catalog.revision
    with catalog.atomic():
        catalog.files.forget([other])
    assert sorted(catalog.removed_since("image", before)) == ids
    assert list(catalog.removed_since("image", middle)) == ids[2:]
    assert list(catalog.removed_since("text", 0)) == []
    catalog.prune_removals(middle)
    assert list(catalog.removed_since("image", 0)) == ids[2:]
    assert catalog.pruned == middle


def test_a_transaction_is_all_or_nothing(catalog: Catalog) -> None:
    store(catalog, source("a.jpg"))
    before = catalog.revision, all_ids(catalog), catalog.files.in_folder(Path("/photos"))

    def half() -> None:
        with catalog.atomic() as revision:
            file_id = catalog.files.put(source("a.jpg", size=2))
            catalog.put_items(file_id, [Item("image", Path("/photos/a.jpg"))], rows(1), revision)
            raise RuntimeError

    for _ in range(2):
        with pytest.raises(RuntimeError):
            half()
        assert (catalog.revision, all_ids(catalog), catalog.files.in_folder(Path("/photos"))) == before


def test_every_transaction_is_a_revision(catalog: Catalog) -> None:
    assert catalog.revision == 0
    for number in range(1, 4):
        with catalog.atomic() as revision:
            assert revision == catalog.revision == number


def test_a_snapshot_does_not_see_what_others_commit_meanwhile(catalog: Catalog, path: Path) -> None:
    store(catalog, source("a.jpg"))
    reader = Catalog(path, readonly=True)
    with reader.snapshot():
        before = reader.revision, all_ids(reader)
        store(catalog, source("b.jpg"))
        with reader.snapshot():
            assert (reader.revision, all_ids(reader)) == before
        assert (reader.revision, all_ids(reader)) == before
    assert len(all_ids(reader)) == 2
    reader.close()


def test_a_reader_cannot_write(catalog: Catalog, path: Path) -> None:
    store(catalog, source("a.jpg"))
    reader = Catalog(path, readonly=True)
    with pytest.raises(LibraryError, match="readonly"):
        store(reader, source("b.jpg"))
    reader.close()


def test_a_file_is_known_by_name_and_modality(catalog: Catalog) -> None:
    store(catalog, source("a.jpg", size=5, mtime_ns=7))
    with catalog.atomic():
        catalog.files.put(source("b.jpg"), error="it is empty")
        catalog.files.put(source("c.csv", modality="text"))  # never completed
    known = catalog.files.in_folder(Path("/photos"))
    assert known.keys() == {("a.jpg", "image"), ("b.jpg", "image"), ("c.csv", "text")}
    assert known["a.jpg", "image"].matches(source("a.jpg", size=5, mtime_ns=7))
    assert not known["a.jpg", "image"].matches(source("a.jpg", size=5, mtime_ns=8))
    assert not known["a.jpg", "image"].matches(source("a.jpg", size=6, mtime_ns=7))
    assert known["b.jpg", "image"].matches(source("b.jpg"))
    assert not known["c.csv", "text"].matches(source("c.csv", modality="text"))
    assert catalog.files.in_folder(Path("/photo")) == {}
    assert catalog.files.failures() == [Failure(Path("/photos/b.jpg"), "it is empty")]


def test_folders_below_a_root_are_those_and_no_others(catalog: Catalog) -> None:
    folders = ["/a", "/a/b", "/a/b/c", "/a b", "/a-b", "/a0", "/ab", "/A", "/a/ü", "/a/%", "/a/_"]
    for folder in folders:
        store(catalog, source("x.jpg", folder=folder))
    below = {folder for folder in folders if Path(folder).is_relative_to("/a")}
    assert {str(path) for path in catalog.files.folders_under(Path("/a"))} == below
    assert len(catalog.files.folders_under(Path("/"))) == len(folders)
    assert catalog.files.folders_under(Path("/a/b/c/d")) == []


def test_a_place_is_known_if_something_is_at_it_or_below(catalog: Catalog) -> None:
    store(catalog, source("x.jpg", folder="/a/b"))
    catalog.files.add_root(Path("/root"), Path("/"))
    for place in ("/", "/a", "/a/b", "/a/b/x.jpg", "/root"):
        assert catalog.files.knows(Path(place)), place
    for place in ("/a/b/y.jpg", "/ab", "/a/x.jpg", "/root/deeper"):
        assert not catalog.files.knows(Path(place)), place


@pytest.mark.parametrize(
    ("place", "left"), [("/a", ["/ab/x.jpg"]), ("/a/b/x.jpg", ["/a/x.jpg", "/ab/x.jpg"]), ("/", []), ("/a/b", [])]
)
def test_removing_a_place_takes_what_is_below_and_no_more(place: str, left: list[str], catalog: Catalog) -> None:
    for folder in ("/a", "/a/b", "/ab"):
        store(catalog, source("x.jpg", folder=folder))
    catalog.files.add_root(Path("/a"), Path("/"))
    catalog.files.set_blocked(Path("/a"), [Failure(Path("/a/b/closed"), "permission denied")])
    left = left or (["/a/x.jpg", "/ab/x.jpg"] if place == "/a/b" else [])
    removed = catalog.remove_under(Path(place))
    assert [str(item.path) for item in catalog.items(all_ids(catalog))] == left
    assert removed == 3 - len(left)
    assert catalog.counts() == ({"image": len(left)} if left else {})
    assert bool(catalog.files.roots()) == (place not in ("/", "/a"))
    assert bool(catalog.files.failures()) == (place == "/a/b/x.jpg")
    assert catalog.remove_under(Path(place)) == 0


def test_blocked_places_are_those_of_the_last_look(catalog: Catalog) -> None:
    closed = Failure(Path("/a/closed"), "permission denied")
    odd = Failure(Path(os.fsdecode(b"/a/caf\xe9.jpg")), "its name is not UTF-8")
    other = Failure(Path("/b/closed"), "permission denied")
    catalog.files.set_blocked(Path("/a"), [closed, odd])
    catalog.files.set_blocked(Path("/b"), [other])
    assert [str(path) for path, _ in catalog.files.failures()] == ["/a/caf\\xe9.jpg", "/a/closed", "/b/closed"]
    revision = catalog.revision
    catalog.files.set_blocked(Path("/a"), [odd, closed])
    assert catalog.revision == revision
    catalog.files.set_blocked(Path("/a"), [])
    assert catalog.files.failures() == [other]


def test_roots_can_be_added_after_anything_else(catalog: Catalog) -> None:
    store(catalog, source("a.jpg"))
    for volume in ("/", "/", "/mnt"):
        catalog.files.add_root(Path("/a"), Path(volume))
        catalog.files.add_root(Path("/b"), Path("/"))
    assert catalog.files.roots() == {Path("/a"): Path("/mnt"), Path("/b"): Path("/")}


def test_a_donor_has_the_same_content_and_is_whole(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "there.jpg").write_bytes(b"x")
    status = (tmp_path / "there.jpg").stat()
    there = Source(tmp_path / "there.jpg", "image", status.st_size, status.st_mtime_ns)
    store(catalog, there, fingerprint=b"same")
    with catalog.atomic():
        catalog.files.put(source("half.jpg"), b"half")
    donor = catalog.files.donor(b"same", source("new.jpg"))
    assert donor is not None
    assert (donor.path, donor.has_left) == (there.path, False)
    gone = store(catalog, source("gone.jpg", folder=str(tmp_path)), fingerprint=b"same")
    donor = catalog.files.donor(b"same", source("new.jpg"))
    assert donor is not None
    assert (donor.file_id, donor.has_left) == (gone, True)
    for fingerprint, modality in ((b"half", "image"), (b"other", "image"), (b"same", "text")):
        assert catalog.files.donor(fingerprint, source("new.jpg", modality=modality)) is None


def test_a_new_catalog_takes_every_step(catalog: Catalog) -> None:
    assert migrations.version(catalog.connection) == len(migrations.STEPS)


def test_steps_that_are_missing_are_taken_and_nothing_is_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = made(path)
    store(old, source("a.jpg"))
    ids = all_ids(old)
    old.close()
    step = "CREATE TABLE extra (x);\n-- a remark; with a semicolon\nINSERT INTO extra VALUES ('a;b');\n"
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, step, "UPDATE extra SET x = x || x;"))
    for _ in range(2):
        new = Catalog(path)
        assert new.connection.execute("SELECT x FROM extra").fetchall() == [("a;ba;b",)]
        assert all_ids(new) == ids
        new.close()


def old_catalog(path: Path, vectors: np.ndarray) -> None:
    """A catalog of the time when vectors were rows: every second one of twelve bits a number, the others float16."""
    connection = sqlite3.connect(path, isolation_level=None)
    for step in migrations.STEPS[:4]:
        assert isinstance(step, str)
        connection.executescript(step)
    connection.execute("PRAGMA user_version = 4")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO meta VALUES (?, ?)", [("dimension", vectors.shape[1]), ("revision", 3)])
    connection.execute("INSERT INTO folders VALUES (1, '/photos')")
    for id, row in enumerate(vectors, start=1):
        blob = pack(row[np.newaxis]).tobytes() if id % 2 else row.astype("<f2").tobytes()
        connection.execute("INSERT INTO files VALUES (?, 1, ?, 'image', 1, 1, NULL, NULL)", (id, f"{id}.jpg"))
        connection.execute("INSERT INTO items VALUES (?, ?, 'image', '', '', '{}')", (id, id))
        connection.execute("INSERT INTO vectors VALUES (?, 'image', 2, ?)", (id, blob))
    connection.execute("DELETE FROM vectors WHERE id = 7")
    connection.execute("COMMIT")
    connection.close()


@pytest.mark.parametrize("readonly", [True, False])
def test_vectors_of_an_old_catalog_move_into_their_file_and_the_catalog_shrinks(readonly: bool, path: Path) -> None:
    vectors = unpack(pack(rows(500, dimension=512)), 512)
    old_catalog(path, vectors)
    size = path.stat().st_size
    catalog = Catalog(path, readonly=readonly)
    kept = catalog.vectors(range(1, 501))
    assert kept.ids.tolist() == [id for id in range(1, 501) if id != 7]
    np.testing.assert_array_equal(kept.rows, vectors[kept.ids - 1])
    assert catalog.revision == 3
    assert [len(catalog.removed_since("image", 2)), catalog.changes_since("image", 2)] == [1, 1]
    catalog.close()
    assert path.stat().st_size < size - 500 * 512
    assert vectors_file(path, 1).stat().st_size == 501 * width(512)


def test_an_old_catalog_that_cannot_be_written_says_what_to_do(unprivileged: Path) -> None:
    path = unprivileged / "library" / "catalog.sqlite3"
    path.parent.mkdir()
    old_catalog(path, rows(3, dimension=64))
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        with pytest.raises(LibraryError, match=r"older Descry .* open it once where it can be written"):
            Catalog(path, readonly=True)
    finally:
        path.parent.chmod(0o755)


def test_a_catalog_without_its_vectors_is_not_believed(path: Path) -> None:
    catalog = made(path)
    store(catalog, source("a.jpg"), rows(5))
    catalog.close()
    vectors_file(path, 1).unlink()
    reader = Catalog(path, readonly=True)
    with pytest.raises(LibraryDamaged, match="missing or cut short"):
        next(reader.vectors_since("image", 0))
    reader.close()


def test_a_step_that_fails_leaves_the_catalog_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Catalog(path).close()
    before = len(migrations.STEPS)
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, "CREATE TABLE extra (x);", "nonsense;"))
    with pytest.raises(LibraryError):
        Catalog(path)
    monkeypatch.undo()
    catalog = Catalog(path)
    assert migrations.version(catalog.connection) == before
    assert catalog.connection.execute("SELECT * FROM sqlite_schema WHERE name = 'extra'").fetchall() == []
    catalog.close()


def test_a_newer_catalog_is_refused(path: Path) -> None:
    Catalog(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(migrations.STEPS) + 1}")
    connection.close()
    for readonly in (True, False):
        with pytest.raises(LibraryTooNew, match=r"newer Descry .* update Descry"):
            Catalog(path, readonly=readonly)


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + bytes(range(256)) * 40])
def test_a_damaged_catalog_is_refused_in_one_line(content: bytes, readonly: bool, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(LibraryDamaged, match=r"move .* away and index again") as refusal:
        Catalog(path, readonly=readonly)
    assert "\n" not in str(refusal.value)
    assert path.read_bytes() == content


def test_a_catalog_in_use_by_another_program_is_not_called_damaged(path: Path) -> None:
    catalog = made(path)
    catalog.connection.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LibraryError, match="database is locked") as refusal:
        store(catalog, source("a.jpg"))
    assert not isinstance(refusal.value, LibraryDamaged | LibraryFull)
    other.close()
    store(catalog, source("a.jpg"))
    catalog.close()


def test_a_catalog_in_a_folder_that_cannot_be_written_can_be_read(unprivileged: Path) -> None:
    path = unprivileged / "library" / "catalog.sqlite3"
    path.parent.mkdir()
    catalog = made(path)
    store(catalog, source("a.jpg"))
    catalog.close()
    path.chmod(0o444)
    path.parent.chmod(0o555)
    reader = Catalog(path, readonly=True)
    assert len(all_ids(reader)) == 1
    reader.close()
    with pytest.raises(LibraryError, match="cannot be used"):
        Catalog(path)

"""A library as a folder: who may use it, and its indexes as caches that can always be made anew."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from painting import held, later, paint, paint_many

from indexer import Encoder, Library, index_sources
from indexer.errors import EncoderMismatch, LibraryDamaged, LibraryError, LibraryFull, LibraryNotFound, PathError
from indexer.nearest.index import VectorIndex
from indexer.nearest.light import LightIndex
from indexer.nearest.saved import saved_revision
from indexer.testing import color_encoder

QUERY = np.full((1, 4), 0.5, np.float32)


def answer(library: Library) -> list[int]:
    index = library.index("image")
    return [int(id) for id in index.search(QUERY, max(1, len(index)))[1][0] if id >= 0]


def first_answer(library: Library) -> list[int]:
    """The answer to the first question, which need not be FAISS's."""
    index = library.index_for_asking("image")
    return [int(id) for id in index.search(QUERY, max(1, len(index)))[1][0] if id >= 0]


@pytest.fixture
def filled(library: Library, photos: Path, encoder: Encoder) -> Library:
    paint_many(photos, 30)
    index_sources(library, [photos], encoder)
    return library


def test_a_place_without_a_library_says_how_to_make_one(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(LibraryNotFound, match="descry index FOLDER"):
            Library.open(place)


@pytest.mark.parametrize("readonly", [True, False])
def test_a_library_whose_maker_was_killed_at_once_was_never_begun(readonly: bool, tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite3").touch()
    with pytest.raises(LibraryNotFound, match="never begun"):
        Library.open(tmp_path, readonly=readonly)
    with Library.create(tmp_path, color_encoder()) as library:
        assert library.encoder_name == "colors"


def test_a_library_remembers_its_encoder(tmp_path: Path) -> None:
    Library.create(tmp_path, color_encoder()).close()
    with Library.open(tmp_path) as library:
        assert (library.encoder_name, library.dimension) == ("colors", 4)


def test_another_encoder_is_refused_by_name_and_by_weights(tmp_path: Path) -> None:
    Library.create(tmp_path, color_encoder()).close()
    with pytest.raises(EncoderMismatch, match=r"was made by colors, not by shapes.*choose another library"):
        Library.create(tmp_path, color_encoder(name="shapes"))
    with pytest.raises(EncoderMismatch, match=r"was made by colors \(0\), not by colors with other weights \(1\)"):
        Library.create(tmp_path, color_encoder(checksum="1"))


def test_a_damaged_library_is_refused(filled: Library) -> None:
    filled.close()
    catalog = filled.path / "catalog.sqlite3"
    catalog.write_bytes(b"garbage" * 1000)
    with pytest.raises(LibraryDamaged, match="index again"):
        Library.open(filled.path)


def test_a_library_cannot_be_made_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(LibraryError, match="cannot be made"):
            Library.create(place, color_encoder())


def test_odd_places_are_fine(tmp_path: Path, photos: Path, encoder: Encoder) -> None:
    paint(photos / "a.png")
    for name in ("with space", "que?ry#%41", "näme", "a'b\"c", "new\nline"):
        with Library.create(tmp_path / name, encoder) as library:
            index_sources(library, [photos], encoder)
        with Library.open(tmp_path / name) as library:
            assert len(answer(library)) == 1


def test_an_index_is_saved_and_used_by_the_next_reader(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    assert saved_revision(filled.path / "image.faiss") is not None
    truth = answer(filled)
    monkeypatch.setattr(Library, "_catch_up", lambda *_: pytest.fail("read what was saved"))
    with Library.open(filled.path) as library:
        index = library._saved_index("image")
        assert index
        assert len(index) == 30
    monkeypatch.undo()
    with Library.open(filled.path) as library:
        assert answer(library) == truth


def test_only_the_first_question_does_without_faiss(filled: Library) -> None:
    with Library.open(filled.path) as library:
        assert isinstance(library.index_for_asking("image"), LightIndex)
        assert isinstance(library.index_for_asking("image"), VectorIndex)
    with Library.open(filled.path) as library:
        library.index("image")
        assert isinstance(library.index_for_asking("image"), VectorIndex)


def test_a_first_question_to_an_index_far_behind_saves_it_for_the_next(
    filled: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_many(photos, 50, start=100)
    index_sources(filled, [photos], encoder)
    monkeypatch.setattr("indexer.library.WORTH_SAVING", 10)
    for kind in (VectorIndex, LightIndex):
        with Library.open(filled.path) as library:
            assert isinstance(library.index_for_asking("image"), kind)
    assert filled.stale_changes() == 0


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "truncated", "other dimension", "folder"])
def test_a_broken_index_is_made_anew(damage: str, filled: Library) -> None:
    truth = answer(filled)
    file = filled.path / "image.faiss"
    content = file.read_bytes()
    file.unlink()
    if damage == "empty":
        file.touch()
    if damage == "garbage":
        file.write_bytes(os.urandom(3000))
    if damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    if damage == "other dimension":
        VectorIndex(7, revision=3).save(file)
    if damage == "folder":
        file.mkdir()
    with Library.open(filled.path) as library:
        assert first_answer(library) == truth
        assert answer(library) == truth


def test_a_stale_index_catches_up_with_what_came_and_went(filled: Library, photos: Path, encoder: Encoder) -> None:
    saved = (filled.path / "image.faiss").read_bytes()
    paint_many(photos, 5, start=100)
    (photos / "00003.bmp").unlink()
    paint(photos / "00004.bmp", "white")
    later(photos / "00004.bmp")
    index_sources(filled, [photos], encoder)
    assert (filled.path / "image.faiss").read_bytes() == saved  # a few changes are not worth a new one
    assert filled.stale_changes() == 5 + 1 + 2
    with Library.open(filled.path) as library:
        assert sorted(answer(library)) == sorted(held(library).values())
        assert answer(library) == answer(filled)
    with Library.open(filled.path) as library:
        assert first_answer(library) == answer(filled)


def test_many_changes_are_saved_by_the_reader_that_meets_them(
    filled: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_many(photos, 50, start=100)
    index_sources(filled, [photos], encoder)
    monkeypatch.setattr("indexer.library.WORTH_SAVING", 10)
    with Library.open(filled.path) as library:
        assert len(answer(library)) == 80
    assert saved_revision(filled.path / "image.faiss") == filled.catalog.revision
    assert filled.stale_changes() == 0


def test_a_reader_that_may_not_write_finds_all_the_same(unprivileged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, place = color_encoder(), unprivileged / "library"
    paint_many(unprivileged / "photos", 20)
    with Library.create(place, encoder) as library:
        index_sources(library, [unprivileged / "photos"], encoder)
    (place / "image.faiss").unlink()
    monkeypatch.setattr("indexer.library.WORTH_SAVING", 10)
    place.chmod(0o555)
    with Library.open(place) as library:
        assert len(answer(library)) == 20
    with pytest.raises(LibraryError, match="cannot be"), Library.create(place, encoder) as library:
        index_sources(library, [unprivileged / "photos"], encoder)


def test_an_older_catalog_under_a_newer_index_is_believed(filled: Library, photos: Path, encoder: Encoder) -> None:
    filled.catalog.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    backup = (filled.path / "catalog.sqlite3").read_bytes()
    paint_many(photos, 2000, start=100)
    index_sources(filled, [photos], encoder)
    filled.close()
    for file in filled.path.glob("catalog.sqlite3*"):
        file.unlink()
    (filled.path / "catalog.sqlite3").write_bytes(backup)
    with Library.open(filled.path) as library:
        assert sorted(answer(library)) == sorted(held(library).values())
        assert len(answer(library)) == 30


def test_an_old_index_whose_removals_are_forgotten_is_made_anew(
    filled: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (filled.path / "image.faiss").read_bytes()
    monkeypatch.setattr("indexer.library.WORTH_SAVING", 1)
    (photos / "00003.bmp").unlink()
    for _ in range(2):
        index_sources(filled, [photos], encoder)
    assert list(filled.catalog.removed_since("image", 0)) == []
    (filled.path / "image.faiss").write_bytes(old)
    with Library.open(filled.path) as library:
        assert sorted(answer(library)) == sorted(held(library).values())


def test_removing_takes_items_out_of_catalog_and_index(filled: Library, photos: Path, encoder: Encoder) -> None:
    paint_many(photos / "sub", 5, start=100)
    index_sources(filled, [photos], encoder)
    assert filled.remove(photos / "sub" / "00101.bmp") == (1, photos)
    assert filled.remove(photos / "sub") == (4, photos)
    assert len(answer(filled)) == 30
    assert all(path.exists() for path in held(filled))
    assert filled.remove(photos) == (30, None)
    assert (answer(filled), filled.catalog.files.roots()) == ([], {})
    for place in (photos, photos / "sub", Path("/nowhere")):
        with pytest.raises(PathError, match="holds nothing at"):
            filled.remove(place)


def test_what_was_removed_can_be_indexed_again(filled: Library, photos: Path, encoder: Encoder) -> None:
    filled.remove(photos)
    assert index_sources(filled, [photos], encoder).embedded == 30
    assert len(answer(filled)) == 30


def test_the_place_to_remove_may_be_relative(filled: Library, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    assert filled.remove(Path("x/../photos/")).items == 30


def test_a_photo_that_is_gone_from_disk_can_be_removed(filled: Library, photos: Path) -> None:
    shutil.rmtree(photos)
    assert filled.remove(photos / "00003.bmp").items == 1
    assert filled.remove(photos).items == 29


def test_the_size_is_that_of_all_files(filled: Library) -> None:
    assert filled.size() == sum(file.stat().st_size for file in filled.path.rglob("*"))


def test_a_text_tower_that_cannot_be_stored_leaves_a_library_that_was_not_begun(tmp_path: Path) -> None:
    def store_text(folder: Path) -> None:
        raise OSError(28, "No space left on device", str(folder))

    colors = color_encoder()
    encoder = Encoder("colors", 4, "0", colors.makers, store_text)
    with pytest.raises(LibraryFull, match="is full or failing"):
        Library.create(tmp_path, encoder)
    with pytest.raises(LibraryNotFound, match="never begun"):
        Library.open(tmp_path)
    Library.create(tmp_path, colors).close()

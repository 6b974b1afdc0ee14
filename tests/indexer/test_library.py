"""A library as a folder: who may use it, and its indexes as caches that can always be made anew."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from painting import held, later, paint, paint_many

from indexer import Encoder, Library, index_sources
from indexer.errors import (
    DamageWarning,
    EncoderMismatch,
    LibraryDamaged,
    LibraryError,
    LibraryFull,
    LibraryNotFound,
    PathError,
)
from indexer.items import Item, Source
from indexer.library import TEXT_TOWER
from indexer.reembedding import reembed
from indexer.testing import color_encoder

QUERY = np.full((1, 4), 0.5, np.float32)


def answer(library: Library) -> list[int]:
    index = library.index("image")
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


def test_nothing_is_saved_of_an_exact_index_and_a_reader_sees_what_comes_and_goes(
    filled: Library, photos: Path, encoder: Encoder
) -> None:
    assert not list(filled.path.glob("*.faiss"))
    with Library.open(filled.path) as reader:
        before = answer(reader)
        paint_many(photos, 5, start=100)
        (photos / "00003.bmp").unlink()
        paint(photos / "00004.bmp", "white")
        later(photos / "00004.bmp")
        index_sources(filled, [photos], encoder)
        assert sorted(answer(reader)) == sorted(held(reader).values())
        assert len(answer(reader)) == len(before) + 4
        with Library.open(filled.path) as other:
            assert answer(other) == answer(reader)


def test_what_an_earlier_version_saved_of_an_exact_index_goes(filled: Library, photos: Path, encoder: Encoder) -> None:
    (filled.path / "image.faiss").write_bytes(os.urandom(3000))
    assert len(answer(filled)) == 30
    index_sources(filled, [photos], encoder)
    assert not (filled.path / "image.faiss").exists()


@pytest.mark.parametrize("damage", ["noise", "zeros", "a bit of the lowest", "another's"])
def test_damaged_vectors_are_said_and_the_next_run_makes_them_anew(
    filled: Library, photos: Path, encoder: Encoder, damage: str
) -> None:
    first, *others = sorted(held(filled).values())
    file = filled.catalog.stored
    content = bytearray(file.path.read_bytes())
    own = slice(first * file._width, (first + 1) * file._width)
    if damage == "noise":
        content[own] = os.urandom(file._width)
    elif damage == "zeros":
        content[own] = bytes(file._width)
    elif damage == "a bit of the lowest":
        content[own.stop - 1] ^= 1
    else:
        content[own] = content[own.stop : own.stop + file._width]
    file.path.write_bytes(content)
    with Library.open(filled.path) as reader, pytest.warns(DamageWarning, match="^1 vectors .* makes them anew"):
        assert sorted(answer(reader)) == others
    with Library.open(filled.path) as reader:
        allowed = np.array([first, *others[:3]])
        with pytest.warns(DamageWarning):
            assert reader.index("image").search(QUERY, 10, allowed=allowed)[1][0].tolist()[3:] == [-1] * 7
    with Library.create(filled.path, encoder) as library:
        assert library.catalog.damaged().tolist() == [first]
        assert index_sources(library, [photos], encoder).embedded == 1
        assert len(answer(library)) == 30
        assert not len(library.catalog.damaged())
        assert index_sources(library, [photos], encoder).embedded == 0


def test_checksums_follow_the_vectors_through_runs_removals_kills_and_other_encoders(
    filled: Library, photos: Path, encoder: Encoder
) -> None:
    for number in range(5):
        paint_many(photos / str(number), 7)
        with pytest.raises(ZeroDivisionError), filled.catalog.atomic() as revision:
            row = np.ones((1, filled.dimension), np.float32) / filled.dimension**0.5
            file_id = filled.catalog.files.put(Source(photos / "new.png", "image", 1, 1))
            filled.catalog.put_items(file_id, [Item("image", photos / "new.png")], row, revision)
            1 / 0  # noqa: B018
        index_sources(filled, [photos], encoder)
        filled.remove(photos / str(number) / sorted(p.name for p in (photos / str(number)).iterdir())[-1])
        assert not len(filled.catalog.damaged())
    assert reembed(filled, color_encoder(checksum="1")).embedded > 30
    assert not len(filled.catalog.damaged())
    content = bytearray(filled.catalog.stored.path.read_bytes())
    content[-1] ^= 1
    filled.catalog.stored.path.write_bytes(content)
    with Library.open(filled.path) as library:
        assert len(library.catalog.damaged()) == 1


def test_a_reader_that_may_not_write_finds_all_the_same(unprivileged: Path) -> None:
    encoder, place = color_encoder(), unprivileged / "library"
    paint_many(unprivileged / "photos", 20)
    with Library.create(place, encoder) as library:
        index_sources(library, [unprivileged / "photos"], encoder)
    place.chmod(0o555)
    with Library.open(place) as library:
        assert len(answer(library)) == 20
    with pytest.raises(LibraryError, match="cannot be"), Library.create(place, encoder) as library:
        index_sources(library, [unprivileged / "photos"], encoder)


@pytest.fixture
def optimized(filled: Library, monkeypatch: pytest.MonkeyPatch) -> Library:
    """A library with an inverted file of its photos."""
    monkeypatch.setattr("indexer.nearest.tuning.EXACT_IS_QUICK", 0)
    monkeypatch.setattr("indexer.nearest.tuning.WORTH_IT", 2)
    filled.indexes.optimize("image", np.repeat(QUERY, 4, axis=0), recall=0.98)
    assert not filled.index("image").is_exact
    return filled


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "truncated", "a byte", "other generation", "folder"])
def test_a_broken_inverted_file_is_never_believed_and_made_anew_by_the_next_run(
    damage: str, optimized: Library, photos: Path, encoder: Encoder
) -> None:
    truth = answer(optimized)
    file = optimized.path / "image.faiss"
    content, ivf = file.read_bytes(), optimized.index("image").in_faiss()
    file.unlink()
    if damage == "empty":
        file.touch()
    if damage == "garbage":
        file.write_bytes(os.urandom(3000))
    if damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    if damage == "a byte":
        file.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
    if damage == "other generation":
        assert ivf is not None
        ivf.save(file, revision=optimized.catalog.revision, generation="another")
    if damage == "folder":
        file.mkdir()
    with Library.open(optimized.path) as library:
        for _ in range(3):
            assert answer(library) == truth
        assert library.index("image").is_exact
    if damage == "folder":
        file.rmdir()
    index_sources(optimized, [photos], encoder)
    with Library.open(optimized.path) as library:
        assert answer(library) == truth
        assert not library.index("image").is_exact
        assert library.indexes.damaged() == []


def test_an_older_catalog_under_a_newer_inverted_file_is_believed(
    optimized: Library, photos: Path, encoder: Encoder
) -> None:
    optimized.catalog.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    backup = (optimized.path / "catalog.sqlite3").read_bytes()
    paint_many(photos, 200, start=100)
    index_sources(optimized, [photos], encoder)
    optimized.indexes.optimize("image", np.repeat(QUERY, 4, axis=0), recall=0.98)
    optimized.close()
    for file in optimized.path.glob("catalog.sqlite3*"):
        file.unlink()
    (optimized.path / "catalog.sqlite3").write_bytes(backup)
    with Library.open(optimized.path) as library:
        assert sorted(answer(library)) == sorted(held(library).values())
        assert len(answer(library)) == 30
    for path in photos.glob("001*.bmp"):
        path.unlink()
    paint_many(photos, 400, start=1000)  # more changes than the lost ones were
    with Library.create(optimized.path, encoder) as library:
        index_sources(library, [photos], encoder)
    with Library.open(optimized.path) as library:
        assert sorted(answer(library)) == sorted(held(library).values())


def test_an_old_inverted_file_whose_removals_are_forgotten_is_not_believed(
    optimized: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (optimized.path / "image.faiss").read_bytes()
    monkeypatch.setattr("indexer.nearest.cache.WORTH_SAVING", 1)
    (photos / "00003.bmp").unlink()
    for _ in range(2):
        index_sources(optimized, [photos], encoder)
    assert list(optimized.catalog.removed_since("image", 0)) == []
    (optimized.path / "image.faiss").write_bytes(old)
    with Library.open(optimized.path) as library:
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


def test_a_stored_text_tower_that_is_damaged_or_another_encoders_is_not_used_and_stored_anew(tmp_path: Path) -> None:
    def store_text(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "weights").write_bytes(b"weights")

    colors = color_encoder()
    encoder = Encoder("colors", 4, "0", colors.makers, store_text)
    with Library.create(tmp_path, encoder) as library:
        assert library.has_text_tower(verify=True)
        weights = library.path / TEXT_TOWER / "weights"
        weights.write_bytes(b"weightz")
        assert library.has_text_tower()  # sizes only are looked at before a question
        assert not library.has_text_tower(verify=True)
        weights.write_bytes(b"weight")
        assert not library.has_text_tower()
    with Library.create(tmp_path, encoder) as library:
        assert library.has_text_tower(verify=True)
        library.catalog.set_meta(checksum="1")
        assert not library.has_text_tower()


@pytest.mark.parametrize("closed", ["catalog.1.vectors", "catalog.sqlite3", "image.faiss", "."])
def test_what_may_not_be_read_is_named(closed: str, unprivileged: Path) -> None:
    place = unprivileged / "library"
    paint_many(unprivileged / "photos", 20)
    with Library.create(place, color_encoder()) as library:
        index_sources(library, [unprivileged / "photos"], color_encoder())
    (place / "image.faiss").write_bytes(bytes(100))
    (place / closed).chmod(0)
    if closed == "image.faiss":
        with Library.open(place) as library:
            assert len(answer(library)) == 20
        return
    with pytest.raises(LibraryError, match=r"library|vectors"), Library.open(place) as library:
        answer(library)

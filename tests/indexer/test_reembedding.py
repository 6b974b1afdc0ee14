"""Another encoder for a library: all vectors or none, ids kept, cut off and gone on with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from painting import later, paint, paint_many
from PIL import Image

from indexer import Encoder, Library, index_sources
from indexer.encoders.base import Encoder as AnyEncoder
from indexer.errors import LibraryError
from indexer.reembedding import SCRATCH, reembed, unfinished
from indexer.testing import PictureColors, WordColors


class Mirrored(PictureColors):
    """The same colours in another space: of six dimensions, backwards."""

    embedded = 0

    def embed(self, prepared):
        Mirrored.embedded += len(prepared)
        return np.pad(super().embed(prepared)[:, ::-1], ((0, 0), (0, 2)))


class MirroredWords(WordColors):
    def embed(self, prepared):
        return np.pad(super().embed(prepared)[:, ::-1], ((0, 0), (0, 2)))


@pytest.fixture
def other() -> AnyEncoder:
    Mirrored.embedded = 0
    return AnyEncoder("mirrored", 6, "1", {"image": Mirrored, "text": MirroredWords})


@pytest.fixture
def filled(library: Library, photos: Path, encoder: Encoder) -> Library:
    paint_many(photos, 40)
    (photos / "words.txt").write_text("a red thing\n\na blue thing\n")
    index_sources(library, [photos], encoder)
    return library


def vectors(library: Library, modality: str) -> dict[int, bytes]:
    return {
        int(id): row.tobytes()
        for part in library.catalog.vectors_since(modality, 0)
        for id, row in zip(part.ids, part.rows, strict=True)
    }


def test_every_item_gets_the_other_encoders_vector_under_its_old_id(
    filled: Library, other: AnyEncoder, tmp_path
) -> None:
    before = vectors(filled, "image") | vectors(filled, "text")
    report = reembed(filled, other)
    after = vectors(filled, "image") | vectors(filled, "text")
    assert list(after) == list(before)
    assert report.embedded == len(before)
    assert (filled.encoder_name, filled.dimension) == ("mirrored", 6)
    for item in filled.catalog.items(list(after)):
        value = item.text if item.text else None
        if value:
            assert np.allclose(np.frombuffer(after[item.id], np.float32), other.embed("text", [value])[0], atol=1e-3)
    with Library.create(tmp_path / "fresh", other) as fresh:
        index_sources(fresh, list(filled.catalog.files.roots()), other)
        assert sorted(vectors(fresh, "image").values()) == sorted(vectors(filled, "image").values())


def test_saved_indexes_of_the_old_vectors_are_not_believed(filled: Library, other: AnyEncoder) -> None:
    reembed(filled, other)
    with Library.open(filled.path) as reader:
        assert reader.index("image").stored.dimension == 6
        query = other.embed("text", ["red"])
        assert reader.index("image").search(query, 1)[0][0, 0] <= 1.001


def test_a_photo_that_is_gone_leaves_the_library_as_it_was(filled: Library, other: AnyEncoder, photos: Path) -> None:
    before = vectors(filled, "image")
    gone = sorted(photos.glob("*.bmp"))[3]
    gone.unlink()
    with pytest.raises(LibraryError, match=rf"{gone.name}.*keeps its encoder"):
        reembed(filled, other)
    assert vectors(filled, "image") == before
    assert filled.encoder_name == "colors"


def test_what_was_embedded_before_an_error_is_not_embedded_again(
    filled: Library, other: AnyEncoder, photos: Path
) -> None:
    gone = sorted(photos.glob("*.bmp"))[3]
    content = gone.read_bytes()
    gone.unlink()
    with pytest.raises(LibraryError):
        reembed(filled, other)
    assert Mirrored.embedded == 39
    gone.write_bytes(content)
    assert reembed(filled, other).embedded == 1
    assert Mirrored.embedded == 40
    assert not (filled.path / SCRATCH).exists()


def test_an_interrupted_run_goes_on(filled: Library, other: AnyEncoder, monkeypatch) -> None:
    def interrupted(self, prepared):
        if Mirrored.embedded:
            raise KeyboardInterrupt
        return good(self, prepared)

    good = Mirrored.embed
    monkeypatch.setattr(Mirrored, "embed", interrupted)
    assert reembed(filled, other).interrupted
    assert filled.encoder_name == "colors"
    monkeypatch.setattr(Mirrored, "embed", good)
    kept = Mirrored.embedded
    assert kept
    report = reembed(filled, other)
    assert report.unchanged == kept
    assert filled.encoder_name == "mirrored"


def test_vectors_of_a_third_encoder_are_not_taken_over(filled: Library, other: AnyEncoder, photos: Path) -> None:
    gone = sorted(photos.glob("*.bmp"))[3]
    content = gone.read_bytes()
    gone.unlink()
    with pytest.raises(LibraryError):
        reembed(filled, other)
    gone.write_bytes(content)
    report = reembed(filled, replace(other, checksum="2"))
    assert report.unchanged == 0
    assert filled.catalog.meta()["checksum"] == "2"


def test_a_library_goes_on_being_indexed_by_its_new_encoder(filled: Library, other: AnyEncoder, photos: Path) -> None:
    reembed(filled, other)
    paint(photos / "new.png", "blue")
    assert index_sources(filled, [photos], other).embedded == 1
    assert len(filled.index("image")) == 41


@pytest.fixture
def alike() -> AnyEncoder:
    """Another encoder of as many dimensions."""
    return AnyEncoder("backwards", 4, "1", {"image": Backwards, "text": BackwardWords})


class Backwards(PictureColors):
    def embed(self, prepared):
        return super().embed(prepared)[:, ::-1]


class BackwardWords(WordColors):
    def embed(self, prepared):
        return super().embed(prepared)[:, ::-1]


def assert_each_has_its_own_vector(library: Library, encoder: AnyEncoder) -> None:
    items = library.catalog.items(library.catalog.all_ids())
    photos = [item for item in items if not item.text]
    rows = library.catalog.vectors([item.id for item in photos]).rows
    wanted = encoder.embed("image", [Image.open(item.path) for item in photos])
    np.testing.assert_allclose(rows, wanted, atol=1e-3)


def test_an_index_saved_before_is_not_taken_for_one_of_the_new_vectors(
    filled: Library, alike: AnyEncoder, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    min(photos.glob("*.bmp")).unlink()
    index_sources(filled, [photos], encoder)
    monkeypatch.setattr("indexer.nearest.tuning.EXACT_IS_QUICK", 0)
    monkeypatch.setattr("indexer.nearest.tuning.WORTH_IT", 2)
    filled.indexes.optimize("image", encoder.embed("text", ["red", "blue"]), recall=0.98)
    assert (filled.path / "image.faiss").exists()
    reembed(filled, alike)
    pruned = filled.catalog.pruned
    index_sources(filled, [photos], alike)
    assert filled.catalog.pruned >= pruned
    with Library.open(filled.path) as reader:
        for _ in range(2):
            index = reader.index("image")
            assert len(index) == 39
            scores, ids = index.search(alike.embed("text", ["red"]), 39)
            assert len(set(ids[0].tolist())) == 39
            held = reader.catalog.vectors(ids[0].tolist()).rows
            np.testing.assert_allclose(scores[0], held @ alike.embed("text", ["red"])[0], atol=1e-3)


@pytest.mark.parametrize("index_first", [False, True])
def test_photos_that_were_swapped_before_have_each_their_own_vector(
    filled: Library, alike: AnyEncoder, photos: Path, encoder: Encoder, index_first: bool
) -> None:
    first, second, *_ = sorted(photos.glob("*.bmp"))
    paint(first, "orange")
    index_sources(filled, [photos], encoder)
    for old, new in ((first, photos / "waiting"), (second, first), (photos / "waiting", second)):
        old.rename(new)
    if index_first:
        index_sources(filled, [photos], encoder)
    reembed(filled, alike)
    index_sources(filled, [photos], alike)
    assert_each_has_its_own_vector(filled, alike)


def test_photos_that_are_swapped_while_a_run_is_cut_off_have_each_their_own_vector(
    filled: Library, alike: AnyEncoder, photos: Path, encoder: Encoder
) -> None:
    first, second, third, *_ = sorted(photos.glob("*.bmp"))
    content = third.read_bytes()
    for old, new in ((first, photos / "waiting"), (second, first), (photos / "waiting", second)):
        old.rename(new)
    third.unlink()
    with pytest.raises(LibraryError):  # all but the third is embedded
        reembed(filled, alike)
    third.write_bytes(content)
    index_sources(filled, [photos], encoder)
    reembed(filled, alike)
    index_sources(filled, [photos], alike)
    assert_each_has_its_own_vector(filled, alike)


def test_a_photo_that_was_written_over_is_embedded_as_it_is_and_told_anew_by_the_next_index(
    filled: Library, alike: AnyEncoder, photos: Path
) -> None:
    Image.new("RGB", (30, 20), "orange").save(photos / "00003.bmp")
    later(photos / "00003.bmp")
    reembed(filled, alike)
    assert_each_has_its_own_vector(filled, alike)
    index_sources(filled, [photos], alike)
    (item,) = filled.catalog.items_at(photos / "00003.bmp", "image")
    assert item.facts["width"] == 30
    assert_each_has_its_own_vector(filled, alike)


def test_the_encoder_in_place_has_nothing_to_do_and_ends_an_unfinished_change(
    filled: Library, other: AnyEncoder, encoder: Encoder, photos: Path
) -> None:
    gone = min(photos.glob("*.bmp"))
    gone.unlink()
    with pytest.raises(LibraryError):
        reembed(filled, other)
    assert unfinished(filled) == ("mirrored", 41)
    before = vectors(filled, "image")
    report = reembed(filled, encoder)
    assert (report.embedded, report.unchanged) == (0, 42)
    assert unfinished(filled) is None
    assert vectors(filled, "image") == before
    assert not list(filled.path.glob("*.2.vectors"))

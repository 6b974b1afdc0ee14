"""The words that travel with Descry, their vectors, and what they say of photos."""

from pathlib import Path

import numpy as np
import pytest
from painting import WatchedEncoder, paint

from indexer import Encoder, Library
from indexer.errors import QueryError
from indexer.photos.opening import open_photo
from search.organise.vocabulary import CACHE, RIVALS_EVERY, Vocabulary, rivals, shipped_words, vocabulary, words_of
from search.prompt_templates import embed_texts
from search.relevance import BY_STANDING_OUT

COLORS = ("red", "green", "blue", "yellow", "dark red", "white")


def test_the_shipped_words_are_many_clean_and_each_there_once() -> None:
    words = shipped_words()
    assert 1000 <= len(words) <= 3000
    assert len(set(words)) == len(words)
    assert all(word == " ".join(word.lower().split()) for word in words)
    assert {"dog", "coffee", "rocket", "sunset", "rock climbing", "black and white"} <= set(words)


def test_the_words_are_embedded_once_and_then_kept_beside_the_library(
    library: Library, watched: WatchedEncoder
) -> None:
    assert rivals(library) is None
    first = vocabulary(library, watched.encoder)
    assert watched.taken() >= len(shipped_words())
    again = vocabulary(library, watched.encoder)
    assert watched.taken() == 0
    np.testing.assert_allclose(again.rows, first.rows, atol=4e-3)
    np.testing.assert_allclose(rivals(library), again.rows[::RIVALS_EVERY])
    assert again.words == first.words


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\0" * 4000])
def test_a_damaged_or_strange_file_of_vectors_is_made_anew(
    library: Library, watched: WatchedEncoder, content: bytes
) -> None:
    (library.path / CACHE).write_bytes(content)
    vocabulary(library, watched.encoder)
    assert watched.taken()
    vocabulary(library, watched.encoder)
    assert not watched.taken()


def test_vectors_of_other_weights_are_not_taken_for_these(library: Library, watched: WatchedEncoder) -> None:
    vocabulary(library, watched.encoder)
    library.catalog.set_meta(checksum="other weights")
    assert rivals(library) is None
    watched.taken()
    vocabulary(library, Encoder("colors", 4, "other weights", watched.encoder.makers))
    assert watched.taken()


def test_a_library_that_cannot_be_written_has_its_words_all_the_same(unprivileged: Path, encoder: Encoder) -> None:
    with Library.create(unprivileged / "library", encoder):
        pass
    with Library.open(unprivileged / "library") as library:
        library.path.chmod(0o500)
        assert len(vocabulary(library, encoder)) == len(shipped_words())
        assert not (library.path / CACHE).exists()


def test_a_photo_is_told_by_its_nearest_words_less_what_all_share(encoder: Encoder, tmp_path: Path) -> None:
    words = Vocabulary(COLORS, embed_texts(encoder, COLORS))
    photo = encoder.embed("image", [open_photo(paint(tmp_path / "a.png", (255, 200, 0)))])
    (found,) = words_of(photo, words, BY_STANDING_OUT, k=2)
    centred = words.rows - words.rows.mean(axis=0)
    scores = (photo @ centred.T)[0] / np.linalg.norm(centred, axis=1)
    assert [word.word for word in found] == [COLORS[place] for place in np.argsort(-scores)[:2]]
    assert [word.score for word in found] == pytest.approx(np.sort(scores)[::-1][:2], abs=1e-5)


def test_words_that_say_the_same_are_told_once(encoder: Encoder, tmp_path: Path) -> None:
    words = Vocabulary(COLORS, embed_texts(encoder, COLORS))
    photo = encoder.embed("image", [open_photo(paint(tmp_path / "a.png", "red"))])
    (found,) = words_of(photo, words, BY_STANDING_OUT, k=6)
    assert found[0].word in ("red", "dark red")
    assert len(found) == 5
    with pytest.raises(QueryError, match="at least 1"):
        words_of(photo, words, BY_STANDING_OUT, k=0)

"""The lesson that other languages are learned from: ridge regression less its targets, and what it disregards."""

from pathlib import Path

import numpy as np
import pytest

from indexer.encoders import unit_rows
from search.languages import Lesson
from training import languages
from training.align import moments, ridge
from training.languages import EACH, classifier, lesson, read_captions, ridge_shares, translated_names, vectors

DATA = Path(__file__).parents[3] / "shared" / "data"

CHANCE = np.random.default_rng(7)


def test_shares_times_targets_are_ridge_regression() -> None:
    rows, targets, weights = CHANCE.normal(size=(90, 6)), CHANCE.normal(size=(90, 4)), CHANCE.random(90)
    shares, mean = ridge_shares(rows, weights, apart=np.zeros((1, 6)))
    slow, _ = ridge(moments(rows, targets, weights=weights), regularisation=languages.REGULARISATION)
    np.testing.assert_allclose(shares.T @ targets, slow.weight, atol=1e-5)
    np.testing.assert_allclose(mean, slow.mean, atol=1e-6)


def test_directions_that_mean_nothing_are_disregarded() -> None:
    rows = CHANCE.normal(size=(200, 5))
    apart = np.zeros((50, 5))
    apart[:, 0] = 100
    shares, _ = ridge_shares(rows, np.ones(200), apart=apart)
    assert np.abs(shares[:, 0]).max() < 0.01 * np.abs(shares[:, 1]).max()


def test_english_is_told_by_a_direction() -> None:
    english = CHANCE.normal(size=(300, 5)) + np.array([3, 0, 0, 0, 0])
    foreign = CHANCE.normal(size=(300, 5)) - np.array([3, 0, 0, 0, 0])
    mean = np.zeros(5, np.float32)
    direction, bound = classifier(english, foreign, mean)
    assert ((english - mean) @ direction > bound).mean() > 0.99
    assert ((foreign - mean) @ direction > bound).mean() < 0.01


def test_names_of_emoji_are_told_in_many_languages() -> None:
    names = translated_names()
    told = {translation for name in ("dog", "dog face", "cat", "horse") for translation in names[name].values()}
    assert told & {
        "hund",
        "chien",
        "perro",
        "cane",
        "собака",
        "狗",
        "イヌ",
        "cheval",
        "caballo",
        "gatto",
        "猫",
        "кошка",
    }
    assert len(names) > 1000 and {len(translations) for translations in names.values()} == {EACH}
    assert not any("flag:" in name or "skin tone" in name for name in names)


def test_vectors_are_read_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(languages, "vector", lambda text: read.append(text) or np.full(3, len(text), np.float32))
    kept = tmp_path / "vectors"
    first = vectors(["a", "bb", "a"], kept)
    assert read == ["a", "bb"] and first["bb"].tolist() == [2, 2, 2]
    again = vectors(["bb", "ccc"], kept)
    assert read == ["a", "bb", "ccc"] and again["bb"].tolist() == [2, 2, 2]


def test_a_map_takes_translations_to_where_their_english_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A language adds something of its own to every vector, which the map does not let through."""
    meanings = {f"thing {number}": CHANCE.normal(size=8) for number in range(60)}
    own = {language: CHANCE.normal(size=8) * 3 for language in ("de", "fr")}

    def vector(text: str) -> np.ndarray:
        language, _, name = text.rpartition(":")
        return np.concatenate([meanings[name], own[language] if language else np.zeros(8)]).astype(np.float32)

    monkeypatch.setattr(languages, "vector", vector)
    names = {name: {language: f"{language}:{name}" for language in own} for name in list(meanings)[:20]}
    taught: Lesson = lesson(list(meanings)[20:], names, {}, None)
    encoder = CHANCE.normal(size=(8, 5))
    targets = unit_rows(np.stack([meanings[name] for name in taught.sentences]) @ encoder)
    found = taught.map_into(targets)
    foreign = found(np.stack([vector(f"fr:{name}") for name in taught.sentences]))
    assert (foreign * targets).sum(axis=1).mean() > 0.9
    assert taught.bound > max((vector(f"de:{name}") - taught.mean) @ taught.english for name in names)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs COCO's captions in ../shared/data")
def test_captions_are_taken_once_each_and_always_the_same() -> None:
    captions = read_captions(DATA, 50)
    assert captions == read_captions(DATA, 80)[:50]
    assert len(set(captions)) == 50 and not any(caption.endswith(".") for caption in captions)

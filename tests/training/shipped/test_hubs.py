"""Hubs held down: a cosine loses what both of its sides have with everything, and cosines of one kind hardly change."""

import numpy as np
import pytest

from indexer.encoders.base import unit_rows
from training.shipped.hubs import Holding, Hubs, levels

HOW = Holding(neighbours=3, against=0.1, room=0.2)


@pytest.fixture
def sides() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    photos, sentences = draw.normal(size=(40, 8)) + 0.5, draw.normal(size=(60, 8)) + 0.5
    return unit_rows(photos), unit_rows(sentences)


def test_a_level_is_the_mean_of_the_nearest_cosines(sides: tuple[np.ndarray, np.ndarray]) -> None:
    photos, sentences = sides
    slow = [np.mean(sorted(sentences @ photo)[-3:]) for photo in photos]
    assert np.allclose(levels(photos, sentences, 3), slow, atol=1e-6)


def test_both_levels_are_taken_from_the_cosine(sides: tuple[np.ndarray, np.ndarray]) -> None:
    photos, sentences = sides
    hubs = Hubs.among(photos, sentences, HOW)
    of_photos, of_sentences = levels(photos, sentences, 3), levels(sentences, photos, 3)
    above = (of_sentences - of_sentences.mean())[:, None] + (of_photos - of_photos.mean())[None, :]
    held = hubs.sentences(sentences) @ hubs.photos(photos).T
    # lengths are those of a row, of the room and of what is small beside it
    assert np.allclose(held * (1 + 0.2**2), sentences @ photos.T - 0.1 * above, atol=0.02)


def test_what_is_near_to_everything_comes_later(sides: tuple[np.ndarray, np.ndarray]) -> None:
    photos, sentences = sides
    hub = unit_rows(sentences.mean(axis=0, keepdims=True))
    photos = np.concatenate([photos, hub])
    hubs = Hubs.among(photos, sentences, Holding(neighbours=3, against=0.5, room=0.5))
    before = (sentences @ photos.T).argmax(axis=1)
    after = (hubs.sentences(sentences) @ hubs.photos(photos).T).argmax(axis=1)
    assert (after == len(photos) - 1).sum() < (before == len(photos) - 1).sum()


def test_rows_stay_unit_and_cosines_within_a_kind_nearly_what_they_were(sides: tuple[np.ndarray, np.ndarray]) -> None:
    photos, sentences = sides
    held = Hubs.among(photos, sentences, HOW).photos(photos)
    assert held.shape == (40, 10)
    assert np.allclose(np.linalg.norm(held, axis=1), 1, atol=1e-6)
    assert np.abs(held @ held.T - photos @ photos.T).max() < 0.1

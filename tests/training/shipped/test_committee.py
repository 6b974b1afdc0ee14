"""The committee: its cosines are the mean of its members', before directions are weighed and hubs held down."""

from pathlib import Path

import numpy as np
import pytest
import torch
from starting_weights import write_starting_weights

from indexer.encoders.embedded_image import Head
from training.closed_form import cca, moments
from training.shipped.committee import Committee, Learned, Rules, Said, inner, normalised
from training.text_model import TextModel, TextShape
from training.texts import Texts

SHAPE = TextShape(tokens=29528, token_width=6, width=8, layers=1, heads=2, context=9, dimension=6)
SENTENCES = [f"{animal} {place}" for animal in ("a dog", "a cat", "two birds") for place in ("in snow", "at home", "")]


@pytest.fixture
def texts(tmp_path: Path) -> Texts:
    write_starting_weights(tmp_path)
    return Texts(tmp_path / "text" / "tokenizer.json", 9)


def member(seed: int) -> Learned:
    torch.manual_seed(seed)
    learned = Learned(TextModel(SHAPE).eval(), Head(10, 7, 6).eval())
    torch.manual_seed(0)
    learned.text.table.reset_parameters()  # token vectors are not learned: all have the same
    return learned


def said() -> Said:
    owners = np.arange(len(SENTENCES))
    return Said(SENTENCES, owners, owners < 7)


def rules(**changed: float) -> Rules:
    plain = {"regularisation": 0.5, "power": 0.5, "labels": 0.5, "flatten": 0.0, "against": 0.0, "room": 1e-3}
    return Rules(neighbours=2, **(plain | changed))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_its_cosine_is_the_mean_of_its_members(texts: Texts) -> None:
    learned, features = [member(0), member(1)], [torch.randn(len(SENTENCES), 10) for _ in range(3)]
    # wide enough for all directions of three members
    committee = Committee(learned, features, texts, said(), rules(), width=20)

    with torch.no_grad():
        photos = [one.head(rows).numpy() for one, rows in zip(learned, features, strict=False)]
        sentences = [one.text(texts.padded(SENTENCES)).numpy() for one in learned]
    hidden = [inner(one.text, texts, SENTENCES) for one in learned]
    computed = np.hstack([part / part.std() for part in (hidden[0][0], hidden[1][0], hidden[0][1])])
    counts = np.where(said().captions, 1.0, 0.5)
    found = cca(moments(normalised(features[2]), computed, weights=counts), dimension=20, regularisation=0.5)
    pair = found.weighed(0.5)
    photos.append(pair.x(normalised(features[2])))
    sentences.append(pair.y(computed))
    mean = np.mean([unit(s) @ unit(p).T for p, s in zip(photos, sentences, strict=True)], axis=0)

    # the directions are those of photos and captions: names of classes may lie aside
    assert np.allclose(committee.sentences(SENTENCES[:7]) @ committee.photos(features).T, mean[:7], atol=1e-3)


def test_flattened_directions_count_more_alike(texts: Texts) -> None:
    learned, features = [member(0), member(1)], [torch.randn(len(SENTENCES), 10) for _ in range(3)]

    def spread(flatten: float) -> float:
        committee = Committee(learned, features, texts, said(), rules(flatten=flatten), width=10)
        rows = np.concatenate([committee.photos(features), committee.sentences(SENTENCES[:7])])[:, :8]
        strengths = np.linalg.svd(rows)[1]
        return float(strengths[0] / strengths[-1])

    assert spread(1.0) < 0.8 * spread(0.0)

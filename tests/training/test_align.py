"""Two one-modality encoders joined in closed form: the command, and that what it writes is what was fitted."""

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge
from starting_weights import write_starting_weights

from evaluation.datasets import Example
from indexer.encoders import load_encoder
from indexer.encoders.base import unit_rows
from training.__main__ import main
from training.align import cca, moments, paired, ridge
from training.features import read_mobilenet

CONFIG = """
image = "image"
text = "text"
size = 32
regularisations = [0.01, 0.1]
dimensions = [2, 4]
powers = [0.0, 1.0]
[train]
path = "captions.jsonl"
[validation]
path = "captions.jsonl"
split = "val"
"""


@pytest.fixture
def aligned(gallery):
    """Runs the command on the gallery; gives its exit code."""
    write_starting_weights(gallery / "models")
    (gallery / "align.toml").write_text(CONFIG)

    def run(**options):
        folders = {"config": "align.toml", "data": ".", "models": "models", "out": "out"} | options
        return main(["align", *(part for name, path in folders.items() for part in (f"--{name}", str(gallery / path)))])

    return run


def test_two_encoders_are_written_that_tell_colours_apart(aligned, gallery, capsys):
    assert aligned() == 0
    assert capsys.readouterr().out.count("text->image R@1/5/10") == 2
    colours = ["red", "green", "blue", "yellow"]
    pictures = [Image.open(gallery / "images" / f"{number}.png") for number in range(24, 32)]
    for method in ("cca", "ridge"):
        encoder = load_encoder(f"embedded:{gallery / 'out' / method}", device="cpu")
        similarity = (
            encoder.embed("text", [f"a {colour} photo" for colour in colours]) @ encoder.embed("image", pictures).T
        )
        right = similarity.argmax(axis=0) == np.arange(8) % 4
        assert right.sum() >= 6, method  # by chance 2 of the 8 unseen photos
        measured = json.loads((gallery / "out" / method / "measured.json").read_text())
        assert measured["settings"]["regularisation"] in (0.01, 0.1)


def test_the_written_encoder_embeds_by_the_fitted_maps(aligned, gallery, monkeypatch):
    fitted = {}
    from training import align

    export = align.export

    def watched(folder, joined, *rest):
        fitted[folder.name] = joined
        export(folder, joined, *rest)

    monkeypatch.setattr(align, "export", watched)
    aligned()
    sentences = ["a red photo", "everything is blue", "number 7"]
    photo = Example("one", gallery / "images" / "5.png", tuple(sentences))
    pairs = paired([photo], read_mobilenet(gallery / "models" / "image"), gallery / "models" / "text", 32)
    for method in ("cca", "ridge"):
        encoder = load_encoder(f"embedded:{gallery / 'out' / method}", device="cpu")
        text = unit_rows(fitted[method].sentences(pairs.sentences))
        image = unit_rows(fitted[method].photos(pairs.photos))
        assert np.vecdot(encoder.embed("text", sentences), text).min() > 0.9999
        assert np.vecdot(encoder.embed("image", [Image.open(photo.photo)]), image).min() > 0.999
        assert encoder.dimension == text.shape[1]


def test_bad_requests_name_what_is_wrong_and_write_nothing(aligned, gallery, capsys):
    assert aligned(data="nowhere") == 2
    assert "captions.jsonl: missing" in capsys.readouterr().err
    (gallery / "align.toml").write_text(CONFIG.replace("powers", "power"))
    assert aligned() == 2
    assert "power is not known" in capsys.readouterr().err
    (gallery / "align.toml").write_text(CONFIG.replace('split = "val"', 'split = "vla"'))
    assert aligned() == 2
    assert "'vla'" in capsys.readouterr().err
    assert not (gallery / "out").exists()


def test_models_that_are_not_there_are_named(aligned, capsys):
    assert aligned(models="none") == 2
    assert "layers.json: missing; --models" in capsys.readouterr().err


@pytest.fixture(scope="module")
def pairs():
    """600 pairs of 7 and 4 numbers that share two hidden causes."""
    draw = np.random.default_rng(0)
    causes = draw.normal(size=(600, 2))
    x = causes @ draw.normal(size=(2, 7)) + draw.normal(size=(600, 7)) + 5
    y = causes @ draw.normal(size=(2, 4)) + 0.5 * draw.normal(size=(600, 4)) - 3
    return x, y


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


def test_canonical_correlations_and_directions_are_those_of_scikit_learn(pairs):
    x, y = pairs
    ours = cca(moments(x, y), dimension=3, regularisation=0)
    theirs_x, theirs_y = CCA(n_components=3, max_iter=5000, tol=1e-12).fit_transform(x, y)
    for number in range(3):
        assert ours.correlations[number] == pytest.approx(
            correlation(theirs_x[:, number], theirs_y[:, number]), abs=1e-6
        )
        assert abs(correlation(ours.x(x)[:, number], theirs_x[:, number])) == pytest.approx(1, abs=1e-5)
        assert abs(correlation(ours.y(y)[:, number], theirs_y[:, number])) == pytest.approx(1, abs=1e-5)


def test_mapped_rows_are_white_and_correlated_only_with_their_partners(pairs):
    x, y = pairs
    ours = cca(moments(x, y), dimension=4, regularisation=0)
    mapped_x, mapped_y = ours.x(x), ours.y(y)
    assert np.allclose(mapped_x.T @ mapped_x / len(x), np.eye(4), atol=1e-9)
    assert np.allclose(mapped_y.T @ mapped_y / len(y), np.eye(4), atol=1e-9)
    assert np.allclose(mapped_x.T @ mapped_y / len(x), np.diag(ours.correlations), atol=1e-9)
    assert ours.correlations.tolist() == sorted(ours.correlations, reverse=True)


def test_regularisation_lets_fewer_pairs_than_dimensions_be_analysed():
    draw = np.random.default_rng(1)
    few = moments(draw.normal(size=(5, 9)), draw.normal(size=(5, 6)))
    ours = cca(few, dimension=6, regularisation=0.1)
    assert np.isfinite(ours.x.weight).all() and np.isfinite(ours.y.weight).all()
    assert 0 < ours.correlations[0] < 1
    assert ours.correlations[0] > cca(few, dimension=6, regularisation=1).correlations[0]


def test_a_power_weighs_directions_by_their_correlation(pairs):
    x, y = pairs
    plain = cca(moments(x, y), dimension=3, regularisation=0.01)
    assert np.allclose(plain.weighed(2).x(x), plain.x(x) * plain.correlations**2)
    assert np.allclose(plain.weighed(2).y(y), plain.y(y) * plain.correlations**2)
    assert np.array_equal(plain.weighed(0).x.weight, plain.x.weight)


@pytest.mark.parametrize("regularisation", [0.0, 0.3])
def test_ridge_coefficients_and_predictions_are_those_of_scikit_learn(pairs, regularisation):
    x, y = pairs
    of = moments(x, y)
    predict, target = ridge(of, regularisation=regularisation)
    theirs = Ridge(alpha=regularisation * np.diag(of.xx).mean() * len(x)).fit(x, y)
    assert np.allclose(predict.weight, theirs.coef_.T, atol=1e-10)
    assert np.allclose(predict(x) + y.mean(axis=0), theirs.predict(x), atol=1e-9)
    assert np.allclose(target(y), y - y.mean(axis=0))


def test_a_pair_that_counts_twice_is_a_pair_that_is_there_twice(pairs):
    x, y = pairs
    weights = np.where(np.arange(len(x)) < 5, 2.0, 1.0)
    twice = moments(np.concatenate([x, x[:5]]), np.concatenate([y, y[:5]]))
    counted = moments(x, y, weights=weights)
    for name in ("mean_x", "mean_y", "xx", "yy", "xy"):
        assert np.allclose(getattr(counted, name), getattr(twice, name)), name


def test_rows_that_are_no_pairs_are_refused():
    with pytest.raises(ValueError, match="pairs"):
        moments(np.ones((3, 2)), np.ones((4, 2)))

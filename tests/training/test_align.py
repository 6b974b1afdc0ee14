"""Two one-modality encoders joined in closed form: the command, and that what it writes is what was fitted."""

import json

import numpy as np
import pytest
from PIL import Image
from starting_weights import write_starting_weights

from evaluation.datasets import Example
from indexer.encoders import load_encoder
from indexer.encoders.base import unit_rows
from training.__main__ import main
from training.align import paired
from training.starting_points import read_mobilenet

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

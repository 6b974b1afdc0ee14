"""The weights of an ensemble, chosen on photos, and the name that carries them."""

import numpy as np
import pytest

from evaluation.datasets import Example
from indexer.encoders import Encoder
from indexer.encoders.ensemble import parse
from indexer.testing import color_encoder
from training import data, ensemble
from training.__main__ import main
from training.ensemble import Weighing, all_weights, mixed, name
from training.validation import in_words, mean_recall, recalls


class Noise:
    """A tower whose rows say nothing about what it sees."""

    def __init__(self, seed: int) -> None:
        self._draw = np.random.default_rng(seed)

    def fits(self, _value):
        return True

    def prepare(self, _value):
        return np.zeros(1)

    def embed(self, prepared):
        rows = self._draw.normal(size=(len(prepared), 4)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def colours_and_noise(monkeypatch):
    """`load_encoder` knows the encoder of colours and one that guesses."""
    guess = Encoder("guess", 4, "0", {"image": lambda: Noise(0), "text": lambda: Noise(1)})
    encoders = {"colors": color_encoder(), "guess": guess}
    monkeypatch.setattr(ensemble, "load_encoder", lambda name, **_: encoders[name])


def run(gallery, *members, steps=10):
    return main(["ensemble", *members, "--data", str(gallery), "--captions", "captions.jsonl", "--steps", str(steps)])


def test_the_printed_name_is_an_ensemble_that_is_at_least_as_good_as_its_best_member(gallery, capsys):
    assert run(gallery, "colors", "guess") == 0
    *alone, best, chosen = capsys.readouterr().out.splitlines()
    assert alone[0].startswith("guess: ") and alone[1].startswith("colors: ")
    assert best.startswith("best: ")
    assert chosen == "colors" or sum(member.weight for member in parse(chosen)) == pytest.approx(1)


def test_a_member_that_only_guesses_gets_little_or_nothing(gallery, capsys):
    assert run(gallery, "colors", "guess") == 0
    chosen = capsys.readouterr().out.splitlines()[-1]
    weights = {"guess": 0.0} | ({member.name: member.weight for member in parse(chosen)} if "+" in chosen else {})
    assert weights["guess"] < 0.5


def test_every_way_to_share_a_whole_is_tried():
    found = list(all_weights(3, 4))
    assert len(found) == len(set(found)) == 15
    assert all(sum(weights) == pytest.approx(1) for weights in found)


def test_the_mix_is_the_weighted_sum_of_the_cosines():
    a, b = np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
    assert mixed([a, b], (0.25, 0.75)).tolist() == [[0.25, 0.75]]
    assert mixed([a, b], (0.0, 1.0)).tolist() == [[0.0, 1.0]]


def test_members_without_weight_are_left_out_of_the_name():
    encoders = [color_encoder(name=name) for name in ("a", "b", "c")]
    assert name(encoders, Weighing((0.25, 0.0, 0.75), {})) == "ensemble:0.25:a+0.75:c"
    assert name(encoders, Weighing((0.0, 1.0, 0.0), {})) == "b"


def test_recalls_by_hand():
    # three sentences, two photos; the last sentence finds the wrong photo
    similarity = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.6]], np.float32)
    table = recalls(similarity, np.array([0, 1, 1]))
    assert table["text_to_image_r1"] == pytest.approx(200 / 3)
    assert table["image_to_text_r1"] == 100
    assert table["text_to_image_r5"] == 100
    assert mean_recall(table) == pytest.approx((200 / 3 + 500) / 6)
    assert in_words(table).startswith("text->image R@1/5/10 66.7 / 100.0")


@pytest.mark.parametrize(("members", "steps"), [(["colors"], 10), (["colors"] * 9, 20), (["colors", "guess"], 1)])
def test_too_few_members_or_too_many_weightings_are_refused(gallery, capsys, members, steps):
    assert run(gallery, *members, steps=steps) == 2
    assert "two members" in capsys.readouterr().err


def test_photos_without_captions_are_refused(gallery, capsys, monkeypatch):
    monkeypatch.setattr(data, "read_source", lambda *_: [Example("one", b"", label="cat")])
    assert run(gallery, "colors", "guess") == 2
    assert "no photo has a caption" in capsys.readouterr().err

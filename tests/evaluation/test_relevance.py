"""Fitting and measuring a relevance cut-off: against scikit-learn, by hand, and on what the data files say."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from evaluation import relevance
from evaluation.datasets import DataError, Example
from evaluation.judgements import Judgements, read_judgements
from evaluation.questions import HERE, Captions, held_out_photos
from evaluation.scenes import LOOKED_AT, Scene, only_what_fits, small
from indexer.testing import color_encoder
from search.query import STRICTNESS
from search.relevance import BY_LEAD, Cut, Judge, from_plain

FLICKR8K = Path(__file__).parents[3] / "shared" / "data" / "flickr8k"


def example(name: str, *captions: str) -> Example:
    return Example(name, Path(name), captions)


EXAMPLES = [example("a.jpg", "a dog", "a hound"), example("b.jpg", "a cat", "a kitten", "a Dog-like cat")]


def written(folder: Path, lines: list[str], name: str = "ExpertAnnotations.txt.gz") -> Path:
    with gzip.open(folder / name, "wt") as file:
        file.write("\n".join(lines))
    return folder


def test_a_judged_caption_is_found_by_its_photo_and_number(tmp_path):
    lines = ["a.jpg\tb.jpg#2\t3\t3\t4", "b.jpg\ta.jpg#1\t1\t2\t4", "b.jpg\tb.jpg#0\t4\t4\t4", "c.jpg\ta.jpg#0\t4\t4\t4"]
    judged = read_judgements(written(tmp_path, lines), "expert", EXAMPLES)
    assert judged.photo.tolist() == [0, 1, 1]
    assert judged.caption.tolist() == [4, 1, 2]
    assert judged.fits.tolist() == [True, False, True]
    assert judged.own.tolist() == [False, False, True]
    assert judged.said[0].tolist() == [3, 3, 4]


def test_the_crowd_says_that_it_fits_by_more_than_half(tmp_path):
    lines = ["a.jpg\tb.jpg#2\t0.5\t1\t1", "b.jpg\ta.jpg#1\t0.666\t2\t1"]
    judged = read_judgements(written(tmp_path, lines, "CrowdFlowerAnnotations.txt.gz"), "crowd", EXAMPLES)
    assert judged.fits.tolist() == [False, True]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.jpg\tb.jpg#0\t1\t1\t1", "a.jpg\tb.jpg#0\t1"], r"gz:2: not a photo, a caption and its judgements"),
        (["a.jpg\tb.jpg\t1\t1\t1"], r"gz:1: not a photo"),
        (["z.jpg\tb.jpg#0\t1\t1\t1"], "judges none of the photos at hand"),
    ],
)
def test_annotations_that_cannot_be_used_are_named_with_their_line(tmp_path, lines, message):
    with pytest.raises(DataError, match=message):
        read_judgements(written(tmp_path, lines), "expert", EXAMPLES)
    with pytest.raises(DataError, match="cannot be read"):
        read_judgements(tmp_path / "nowhere", "expert", EXAMPLES)


def test_the_weights_are_those_of_scikit_learn():
    draw = np.random.default_rng(0)
    features, weights = draw.normal(size=(400, 2)), draw.random(400)
    fits = features @ [2.0, -1.0] + 0.5 + draw.logistic(size=400) > 0
    slow = LogisticRegression(C=1e9, tol=1e-9).fit(features, fits, sample_weight=weights)
    found = relevance.logistic_regression(features, fits, weights)
    assert found == pytest.approx([*slow.coef_[0], slow.intercept_[0]], rel=1e-3)


def chances(scores: np.ndarray) -> Scene:
    """A scene in which a photo's probability is its cosine: nothing else is to beat."""
    return scene(scores, RIGHT)


def scene(scores: np.ndarray, fits: np.ndarray, to_beat: np.ndarray | None = None) -> Scene:
    """A scene of which everything is known."""
    names = tuple(map(str, range(len(scores))))
    beaten = np.zeros((scores.shape[1], 1), np.float32) if to_beat is None else to_beat
    asked = np.zeros((len(scores), 4), np.float32)
    return Scene(names, asked, scores.astype(np.float32), beaten, fits, np.ones(fits.shape, np.float32))


class AsItIs(Judge):
    """Takes a cosine for a probability."""

    def of_features(self, features: np.ndarray) -> np.ndarray:
        return features[:, 0]


# Two questions over four photos: the first has two right photos, the second none.
RIGHT = np.array([[True, False, True, False], [False] * 4])
SCENE = chances(np.array([[0.9, 0.5, 0.4, 0.1], [0.3, 0.6, 0.2, 0.1]], np.float32))


def judge(keeps: float, sure: float) -> Judge:
    return AsItIs((), 0.0, {name: Cut(keeps, sure) for name in STRICTNESS})


def test_measures_by_hand() -> None:
    found = relevance.measure(judge(0.45, 0.45), SCENE)
    assert found == pytest.approx({"questions": 1, "precision": 1 / 2, "recall": 1 / 2, "F1": 1 / 2, "refused": 0})
    found = relevance.measure(judge(0.35, 0.8), SCENE)
    assert found == pytest.approx({"questions": 1, "precision": 2 / 3, "recall": 1, "F1": 4 / 5, "refused": 1})


def test_what_nobody_knows_counts_for_nothing_and_a_drawn_photo_for_those_it_was_drawn_from() -> None:
    wrong = np.float32(0.5)
    unknown = replace(SCENE, weights=np.where(SCENE.scores == wrong, 0, SCENE.weights))
    assert relevance.measure(judge(0.45, 0.45), unknown)["precision"] == 1
    drawn = replace(SCENE, weights=np.where(SCENE.scores == wrong, 3, SCENE.weights))
    assert relevance.measure(judge(0.45, 0.45), drawn)["precision"] == pytest.approx(1 / 4)


def test_where_to_cut_is_found_by_trying_all() -> None:
    draw = np.random.default_rng(0)
    fits = draw.random((6, 200)) < 0.2
    asked = scene(np.clip(draw.normal(0.3 + 0.2 * fits, 0.1), 0.02, 0.9), fits)
    keeps = relevance.best_keeps(judge(0, 0), asked, 0.6, 0.0, 1.0)
    best = max(relevance.measure(judge(one, 0.6), asked)["F1"] for one in np.arange(0.02, 0.6, 0.01))
    assert relevance.measure(judge(keeps, 0.6), asked)["F1"] == pytest.approx(best, abs=0.03)
    assert keeps <= 0.6


def test_the_lead_that_a_word_needs_is_the_one_with_the_greatest_f1() -> None:
    leads = np.array([0.5, 0.4, 0.3, 0.2, 0.1], np.float32)
    assert relevance._best_lead(leads, np.array([3, 2, 0, 2, 0])) == pytest.approx(0.2)
    assert relevance._best_lead(leads, np.array([3, 2, 0, 1, 0])) == pytest.approx(0.4)  # who knows of the fourth


def test_absent_things_are_refused_in_libraries_of_every_size() -> None:
    draw = np.random.default_rng(0)
    scores = 1 / (1 + np.exp(-draw.normal(-3, 1.5, (60, 1200))))
    absent = scene(scores, np.zeros(scores.shape, bool))
    growth, sure = relevance.sureness(judge(0, 0), absent)
    assert growth > 0.3
    assert sure["loosely"] < sure["normally"] < sure["strictly"]
    calibrated = replace(judge(0, 0), growth=growth, cuts={"normally": Cut(0.0, sure["normally"])})
    for size in (20, 100, 1000):
        refused = relevance.measure(calibrated, absent.among(np.arange(1200) < size))["refused"]
        assert 0.85 <= refused <= 1


def test_a_small_library_has_twenty_photos_and_a_lopsided_one_only_what_fits() -> None:
    draw = np.random.default_rng(0)
    asked = scene(draw.random((3, 60)), draw.random((3, 60)) < 0.5)
    few = small(asked)
    assert ((~np.isnan(few.scores)).sum(axis=1) == 20).all()
    assert len(few.scores) == len(few.questions) == 15
    fitting = only_what_fits(asked)
    assert fitting.fits[~np.isnan(fitting.scores)].all()


def test_a_judge_that_is_fitted_keeps_what_fits_and_refuses_what_is_absent() -> None:
    draw = np.random.default_rng(0)
    fits = draw.random((40, 300)) < 0.1
    crowded = draw.normal(0.3, 0.1, 300)  # photos that are near to everything: their rivals are near too
    scores = draw.normal(crowded + 0.25 * fits, 0.05).astype(np.float32)
    to_beat = np.stack([crowded + 0.1, crowded + 0.02], axis=1).astype(np.float32)
    words = scene(scores, fits, to_beat)
    none = scene(scores - 0.25 * fits, np.zeros(fits.shape, bool), to_beat)
    people = np.argwhere(np.ones(fits.shape, bool))
    said = np.where(fits.ravel(), 4.0, 1.0)[:, None].repeat(3, axis=1)
    judgements = Judgements("expert", people[:, 1], people[:, 0], said, fits.ravel(), np.zeros(fits.size, bool))
    held = relevance.Bench(
        words,
        none,
        {"words": words, "words, COCO alone": words, "absent": none},
        {"expert": (words, judgements)},
        np.zeros((8, 4), np.float32),
        np.zeros(4),
    )
    table = relevance.tables(held, relevance.fit(held))
    assert table["words, normally"]["F1"] > 0.85 > table["words, flat"]["F1"]
    assert table["absent"]["refused"] > 0.8
    agreement = table["agreement with expert"]
    assert agreement["pairs"] == 12000
    assert agreement["probability tau-b"] > agreement["cosine tau-b"] > 0
    assert len(table["worst words"]) == relevance.WORST


def test_a_calibration_is_written_beside_those_of_others(tmp_path) -> None:
    path = tmp_path / "relevance.json"
    path.write_text(json.dumps({"other": {"judge": {}}}))
    encoder = color_encoder(checksum="abc")
    relevance.write(BY_LEAD, encoder, {"expert": {"F1, flat": 0.123456}, "worst words": ["a"]}, path)
    table = json.loads(path.read_text())
    assert set(table) == {"other", "abc"}
    assert from_plain(table["abc"]["judge"]) == BY_LEAD
    assert table["abc"]["figures"] == {"expert": {"F1, flat": 0.1235}}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not FLICKR8K.is_dir(), reason="needs Flickr8k and COCO in ../shared/data")
def test_sixty_of_the_absent_things_are_named_by_no_caption_and_eighty_words_by_ten_photos() -> None:
    captions = Captions(held_out_photos(FLICKR8K.parent))
    absent = json.loads((HERE / "absent_queries.json").read_text(encoding="utf-8"))
    rules = [" or ".join(name.replace(" ", "_") for name in names) for names in absent.values()]
    assert sum(not captions.saying(rule).any() for rule in rules) >= 40
    things = json.loads((HERE / "things.json").read_text(encoding="utf-8"))
    assert sum((captions.saying(rule) > 1).sum() >= 10 for rule in things.values()) >= 80


def test_pairs_that_were_looked_at_are_of_known_words_each_told_once() -> None:
    things = json.loads((HERE / "things.json").read_text(encoding="utf-8"))
    lots = json.loads((HERE / LOOKED_AT).read_text(encoding="utf-8"))
    assert set(lots) <= set(things)
    assert sum(len(shown) + len(not_shown) for lot in lots.values() for shown, not_shown, _ in lot) > 2000
    for word, told in lots.items():
        places = [place for lot in told for part in lot for place in part]
        assert len(places) == len(set(places)), word

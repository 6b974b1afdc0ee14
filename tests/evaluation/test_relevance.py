"""Fitting and measuring a relevance cut-off: against scikit-learn, by hand, and on what the shipped data files say."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from evaluation import relevance
from evaluation.datasets import READERS, DataError, Example
from evaluation.found import HERE
from evaluation.judgements import Judgements, read_judgements
from evaluation.scenes import FITS, NOT, UNKNOWN, Scene, named, only_what_fits, queries, small
from indexer.testing import color_encoder
from search.relevance import Judge, Usual, from_plain

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


# Two queries over four photos: the first has one right photo, the second none.
SCENE = Scene(
    "by hand",
    np.array([[0.9, 0.5, 0.4, 0.1], [0.3, 0.6, 0.2, 0.1]], np.float32),
    np.array([[FITS, NOT, FITS, NOT], [NOT, NOT, NOT, NOT]]),
)


def test_measures_by_hand():
    flat = replace(relevance.FLAT, cut=1 / (1 + np.exp(-0.45)))
    assert relevance.measure(flat, SCENE) == pytest.approx(
        {"precision": 1 / 3, "recall": 1 / 2, "F1": 2 / 5, "answered": 1.0, "refused": 0.0}
    )
    strict = replace(relevance.FLAT, cut=1 / (1 + np.exp(-0.7)))
    assert relevance.measure(strict, SCENE) == pytest.approx(
        {"precision": 1, "recall": 1 / 2, "F1": 2 / 3, "answered": 1.0, "refused": 1.0}
    )


def test_what_nobody_judged_counts_for_nothing():
    flat = replace(relevance.FLAT, cut=1 / (1 + np.exp(-0.45)))
    judged = replace(SCENE, fits=np.where(SCENE.scores == np.float32(0.5), UNKNOWN, SCENE.fits))
    assert relevance.measure(flat, judged)["precision"] == 1 / 2
    assert "refused" not in relevance.measure(flat, judged)


def test_the_best_cut_is_the_one_found_by_trying_all():
    def goal(value: float) -> float:
        measured = relevance.measure(replace(relevance.FLAT, cut=1 / (1 + np.exp(-value))), SCENE)
        return float(np.mean([measured[name] for name in ("F1", "answered", "refused")]))

    cut = relevance.best_cut(relevance.FLAT, [SCENE])
    assert goal(np.log(cut / (1 - cut))) == pytest.approx(max(goal(value) for value in np.arange(0, 1, 0.01)))


def test_a_small_library_has_twenty_photos_and_a_lopsided_one_only_what_fits():
    draw = np.random.default_rng(0)
    scene = Scene("all", draw.random((3, 60), np.float32), np.where(draw.random((3, 60)) < 0.5, FITS, NOT))
    few = small(scene, "few")
    assert ((~np.isnan(few.scores)).sum(axis=1) == 20).all()
    assert len(few.scores) == 15
    fitting = only_what_fits(scene, "fitting")
    assert (fitting.fits[~np.isnan(fitting.scores)] == FITS).all()


def test_words_are_looked_for_whole_and_in_any_case():
    assert named(["dog", "hound"], EXAMPLES).tolist() == [2, 1]
    assert named(["kit"], EXAMPLES).tolist() == [0, 0]


def drawn(count: int, offsets: np.ndarray, fitting: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Cosines `[q, count]` of queries that each have a level of their own, higher for what fits."""
    draw = np.random.default_rng(len(offsets))
    fits = draw.random((len(offsets), count)) < fitting
    return draw.normal(offsets[:, None] + 0.3 * fits, 0.06).astype(np.float32), np.where(fits, FITS, NOT)


def test_where_queries_have_levels_of_their_own_a_cut_for_each_beats_a_flat_one():
    scores, fits = drawn(200, np.linspace(-0.3, 0.3, 40))
    even = np.arange(200) % 2 == 0
    people = Scene("expert", scores, fits)
    caption, photo = (place.ravel() for place in np.indices(scores.shape))
    said = np.where(fits.ravel() == FITS, 4.0, 1.0)[:, None].repeat(3, axis=1)
    judgements = Judgements("expert", photo, caption, said, fits.ravel() == FITS, np.zeros(len(photo), bool))
    none = Scene("absent", *drawn(200, np.linspace(-0.3, 0.3, 41), fitting=0.0))
    held = relevance.Bench(
        fit=[people.judged(even), none],
        report=[people.judged(~even), none],
        judgements={"expert": (people, judgements)},
        usual=Usual(0.0, 0.06, 0.2),
    )
    table = relevance.tables(held, relevance.fit(held))
    assert table["expert"]["F1, per query"] > 0.85 > 0.7 > table["expert"]["F1, flat"]
    assert table["absent"]["refused, per query"] > 0.8
    agreement = table["agreement with expert"]
    assert agreement["pairs"] == 8000
    assert agreement["probability tau-b"] > agreement["cosine tau-b"] > 0


def test_a_calibration_is_written_beside_those_of_others(tmp_path):
    path, judge = tmp_path / "relevance.json", Judge(cosine=8.0, usual=Usual(0.0, 0.1, 0.05))
    path.write_text(json.dumps({"other": {"judge": {}}}))
    encoder = color_encoder(checksum="abc")
    relevance.write(judge, encoder, {"expert": {"F1, flat": 0.123456}}, path)
    table = json.loads(path.read_text())
    assert set(table) == {"other", "abc"}
    assert from_plain(table["abc"]["judge"]) == judge
    assert table["abc"]["figures"] == {"expert": {"F1, flat": 0.1235}}
    assert list(tmp_path.iterdir()) == [path]


def test_there_are_queries_enough_and_none_is_in_both_halves():
    for name in ("present", "absent"):
        even, odd = queries(name, relevance.EVEN), queries(name, relevance.ODD)
        table = json.loads((HERE / f"{name}_queries.json").read_text(encoding="utf-8"))
        assert not even.keys() & odd.keys()
        assert even | odd == table
        assert len(table) >= 60


@pytest.mark.skipif(not FLICKR8K.is_dir(), reason="needs Flickr8k in ../shared/data")
def test_sixty_of_the_absent_things_are_named_by_no_caption_of_the_test_photos():
    table = json.loads((HERE / "absent_queries.json").read_text(encoding="utf-8"))
    examples = [one for one in READERS["captions_jsonl"](FLICKR8K / "captions.jsonl") if one.split == "test"]
    assert sum(not named(words, examples).any() for words in table.values()) >= 60

"""The relevance cut-off: what the background does to a score, and what small and lopsided libraries do to it."""

from dataclasses import asdict

import numpy as np
import pytest

from search import relevance
from search.relevance import Background, Judge, Usual, from_plain, judge_for

USUAL = Usual(middle=0.0, spread=0.1, varies=0.05)
CALIBRATED = Judge(cosine=8.0, standardised=0.4, offset=-5.8, cut=0.3, usual=USUAL)


def draw(count: int, middle: float = 0.0, spread: float = 0.1) -> np.ndarray:
    return np.random.default_rng(0).normal(middle, spread, count).astype(np.float32)


def test_the_background_of_normal_scores_is_their_mean_and_deviation():
    seen = Background.of(draw(5000, 0.2, 0.05))
    assert (seen.middle, seen.spread) == (pytest.approx(0.2, abs=0.003), pytest.approx(0.05, abs=0.003))


def test_what_fits_does_not_move_the_background():
    rest = draw(900)
    with_hits = Background.of(np.concatenate([rest, np.full(100, 0.9, np.float32)]))
    assert with_hits.middle == pytest.approx(Background.of(rest).middle, abs=0.03)
    assert with_hits.spread == pytest.approx(Background.of(rest).spread, abs=0.03)


@pytest.mark.parametrize("judge", [Judge(), CALIBRATED])
def test_the_same_cosine_fits_one_query_and_not_another(judge):
    score = np.array([0.5], np.float32)
    (stands_out,) = judge.probabilities(score, draw(1000, 0.0, 0.1))
    (is_common,) = judge.probabilities(score, draw(1000, 0.3, 0.2))
    assert stands_out > is_common
    assert stands_out >= judge.cut > is_common or judge is CALIBRATED


@pytest.mark.parametrize("judge", [Judge(), CALIBRATED])
def test_probabilities_keep_the_order_of_the_scores(judge):
    chances = judge.probabilities(np.linspace(1, -1, 50, dtype=np.float32), draw(500))
    assert (np.diff(chances) < 0).all()
    assert ((chances > 0) & (chances < 1)).all()


def test_probabilities_by_hand():
    judge = Judge(cosine=2.0, standardised=1.0, offset=-3.0)
    background = np.array([-0.1, 0.0, 0.1], np.float32)  # middle 0, spread 1.4826 * 0.1
    (chance,) = judge.probabilities(np.array([0.29652], np.float32), background)
    assert chance == pytest.approx(1 / (1 + np.exp(-(2 * 0.29652 + 2.0 - 3.0))))


def test_nothing_fits_where_the_library_is_empty():
    assert judge_for("unknown").probabilities(np.empty(0, np.float32), np.empty(0, np.float32)).shape == (0,)


@pytest.mark.parametrize("judge", [Judge(), CALIBRATED])
def test_of_a_thousand_photos_that_do_not_fit_none_is_kept(judge):
    scores = draw(1000)
    assert not (judge.probabilities(scores, scores) >= judge.cut).any()


@pytest.mark.parametrize("judge", [Judge(), CALIBRATED])
@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_few_photos_give_probabilities_and_not_numbers_out_of_nothing(judge, count):
    chances = judge.probabilities(draw(count), draw(count))
    assert np.isfinite(chances).all()


def test_a_small_library_goes_by_the_usual_background():
    tempered = USUAL.tempered(Background(0.08, 0.01), count=2)
    assert tempered.middle == pytest.approx(0.08 * 2 / 22)
    assert tempered.spread == pytest.approx((0.01 * 2 + 0.1 * 20) / 22)


def test_where_everything_fits_the_middle_is_no_background():
    same = draw(1000, 0.6, 0.03)
    assert (CALIBRATED.probabilities(same, same) >= CALIBRATED.cut).mean() > 0.9


def test_only_sentences_that_look_for_photos_are_calibrated(tmp_path, monkeypatch):
    plain = asdict(CALIBRATED)
    path = tmp_path / "relevance.json"
    path.write_text(__import__("json").dumps({"abc": {"judge": plain}}))
    monkeypatch.setattr(relevance, "table_path", lambda: path)
    assert judge_for("abc") == CALIBRATED
    assert judge_for("abc", asked="image") == judge_for("abc", wanted="text") == judge_for("other") == Judge()


def test_a_judge_comes_back_from_plain_data():
    for judge in (Judge(), CALIBRATED):
        assert from_plain(asdict(judge)) == judge


def test_the_shipped_encoder_is_calibrated():
    from indexer import load_encoder

    judge = judge_for(load_encoder().checksum)
    assert judge.usual is not None
    # whether the cosine itself tells or how it stands out is the encoder's matter; a higher one must fit better
    background = np.random.default_rng(0).normal(judge.usual.middle, judge.usual.spread, 500).astype(np.float32)
    rising = judge.probabilities(np.linspace(0, 0.8, 9, dtype=np.float32), background)
    assert (np.diff(rising) > 0).all()
    assert rising[0] < judge.cut < rising[-1]

"""The relevance cut-off: what rivals and the library do to a score, and that search and tags agree."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer import Library, index_sources, load_encoder, shipped
from indexer.encoders import unit_rows
from indexer.errors import QueryError
from search import Engine, Query, parse, relevance
from search.organise.tags import tag
from search.organise.vocabulary import rivals, vocabulary, words_of
from search.query import NORMALLY, STRICTNESS
from search.relevance import BY_LEAD, BY_STANDING_OUT, RANKS, Cut, Judge, as_plain, from_plain, judge_for

DRAW = np.random.default_rng(0)
RIVALS = unit_rows(DRAW.normal(size=(50, 8)))
ROWS = unit_rows(DRAW.normal(size=(20, 8)))
NOTHING = np.empty(0, np.float32)


def with_rivals(judge: Judge) -> Judge:
    return replace(judge, rivals=RIVALS)


def test_what_a_question_has_to_beat_are_the_photos_best_rivals() -> None:
    to_beat = with_rivals(BY_LEAD).to_beat(ROWS)
    in_order = -np.sort(-(ROWS @ RIVALS.T), axis=1)
    np.testing.assert_allclose(to_beat, in_order[:, [rank - 1 for rank in RANKS]])
    few = replace(BY_LEAD, rivals=RIVALS[:1])
    np.testing.assert_allclose(few.to_beat(ROWS), np.repeat(ROWS @ RIVALS[:1].T, len(RANKS), axis=1), rtol=1e-6)


def test_probabilities_by_hand() -> None:
    judge = Judge((2.0, 1.0, -3.0), 0.5, BY_LEAD.cuts)
    (chance,) = judge.probabilities(np.array([0.5]), np.array([[0.3, 0.1]]), NOTHING)
    assert chance == pytest.approx(1 / (1 + np.exp(-(2 * 0.5 + 0.2 - 3 * 0.4 + 0.5))))


def test_the_same_cosine_fits_a_photo_that_is_near_to_few_words_and_not_one_that_is_near_to_many() -> None:
    first, second = BY_LEAD.probabilities(np.array([0.4, 0.4]), np.array([[0.2, 0.1], [0.5, 0.4]]), NOTHING)
    assert first >= BY_LEAD.cuts[NORMALLY].keeps > second


def test_without_rivals_a_hit_is_judged_by_how_far_it_stands_out() -> None:
    background = DRAW.normal(0.1, 0.05, 2000)
    none = BY_STANDING_OUT.to_beat(ROWS[:2])
    out, usual = BY_STANDING_OUT.probabilities(np.array([0.4, 0.15]), none, background)
    assert out >= BY_STANDING_OUT.cuts[NORMALLY].keeps > usual
    assert np.isfinite(BY_STANDING_OUT.probabilities(np.array([0.4]), none[:1], np.array([0.4]))).all()
    assert not BY_STANDING_OUT.probabilities(np.array([0.9]), none[:1], NOTHING)[0] > 0.1


def test_of_a_thousand_photos_that_do_not_fit_none_stands_out() -> None:
    scores = DRAW.normal(0, 0.1, 1000)
    chances = BY_STANDING_OUT.probabilities(scores, np.empty((1000, 0)), scores)
    assert not (chances >= BY_STANDING_OUT.cuts[NORMALLY].keeps).any()


def test_a_question_of_its_kind_needs_a_lead_of_its_own() -> None:
    judge = Judge((0.0, 10.0, 0.0), 0.0, BY_LEAD.cuts, kinds=(2.0, 0.0))
    scores, beaten = np.array([0.4, 0.4]), np.array([[0.3, 0.1], [0.3, 0.1]])
    one, other = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    each = [judge.asked(row).probabilities(scores, beaten, NOTHING)[0] for row in (one, other)]
    assert each == pytest.approx([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-1))])
    both = judge.asked(np.stack([one, other])).probabilities(scores, beaten, NOTHING)
    assert both == pytest.approx(each)
    assert BY_LEAD.asked(one) is BY_LEAD


def test_of_many_photos_one_has_to_be_surer_than_of_few() -> None:
    judge = Judge((1.0,), 0.0, {NORMALLY: Cut(0.3, 0.9)}, growth=0.6)
    assert judge.is_sure([0.91], NORMALLY, photos=1000)
    assert not judge.is_sure([0.91], NORMALLY, photos=5000)
    assert not judge.is_sure([0.6], NORMALLY, photos=1000)
    assert judge.is_sure([0.7], NORMALLY, photos=20)
    assert judge.is_sure([0.99], NORMALLY, photos=10_000) == judge.is_sure([0.99], NORMALLY, photos=10**9)
    assert not judge.is_sure([], NORMALLY, photos=0)


def test_two_that_nearly_fit_are_as_sure_as_one_that_does() -> None:
    judge = Judge((1.0,), 0.0, {NORMALLY: Cut(0.3, 0.9)})
    assert judge.is_sure([0.2, 0.7, 0.7], NORMALLY, photos=1000)
    assert not judge.is_sure([0.7, 0.2, 0.2], NORMALLY, photos=1000)


def test_a_stricter_cut_keeps_less() -> None:
    for judge in (BY_LEAD, BY_STANDING_OUT, judge_for(load_encoder().checksum, RIVALS)):
        keeps = [judge.cuts[strictness].keeps for strictness in STRICTNESS]
        sure = [judge.cuts[strictness].sure for strictness in STRICTNESS]
        assert keeps == sorted(keeps)
        assert sure == sorted(sure)
        assert all(cut.sure >= cut.keeps for cut in judge.cuts.values())


def test_only_sentences_that_look_for_photos_are_calibrated(tmp_path, monkeypatch) -> None:
    calibrated = Judge((8.0, 0.4, 0.1), -5.8, {name: Cut(0.3, 0.5) for name in STRICTNESS}, 0.5, (0.25, -1.5))
    path = tmp_path / "relevance.json"
    path.write_text(json.dumps({"abc": {"judge": as_plain(calibrated)}}))
    monkeypatch.setattr(relevance, "table_path", lambda: path)
    assert judge_for("abc", RIVALS).weights == calibrated.weights
    assert judge_for("other", RIVALS).weights == BY_LEAD.weights
    for judge in (
        judge_for("abc", RIVALS, asked="image"),
        judge_for("abc", RIVALS, wanted="text"),
        judge_for("abc", None),
    ):
        assert judge is BY_STANDING_OUT


def test_a_judge_comes_back_from_plain_data() -> None:
    for judge in (BY_LEAD, BY_STANDING_OUT, replace(BY_LEAD, growth=0.5, kinds=(0.25, -1.5))):
        assert from_plain(as_plain(judge)) == judge


def test_a_strictness_that_does_not_exist_is_refused() -> None:
    with pytest.raises(QueryError, match="loosely, normally or strictly"):
        parse("red", fits="badly")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A library of the demo's photos, with the shipped encoder."""
    encoder = load_encoder(device="cpu")
    with Library.create(tmp_path_factory.mktemp("demo") / "library", encoder) as library:
        index_sources(library, [shipped("photos")], encoder)
        yield library


def test_the_shipped_encoder_is_calibrated_and_its_words_are_embedded(demo: Library) -> None:
    known = rivals(demo)
    assert known is not None
    assert judge_for(load_encoder().checksum, known).weights != BY_LEAD.weights
    assert not list(demo.path.glob(".vocabulary*"))


@pytest.mark.parametrize("strictness", STRICTNESS)
def test_what_is_tagged_is_what_is_found(demo: Library, tmp_path: Path, strictness: str) -> None:
    things = ("cat", "a rocket launch", "a cup of coffee", "space", "a brick wall", "a submarine")
    (tmp_path / "things.txt").write_text("\n".join(things))
    encoder = demo.encoder(device="cpu")
    tag(demo, tmp_path / "things.txt", encoder, strictness=strictness)
    engine = Engine(demo, encoder)
    for thing in things:
        found = engine.search(parse(thing, relevant=True, fits=strictness, k=100))
        for hit in found:
            assert demo.catalog.tags.of(hit.id)[thing] == pytest.approx(hit.probability, abs=1e-3)
        assert len(found) == demo.catalog.tags.counts().get(thing, 0)


def test_the_probability_of_a_word_for_a_photo_is_that_of_the_photo_for_the_word(demo: Library) -> None:
    encoder = demo.encoder(device="cpu")
    engine, known = Engine(demo, encoder), vocabulary(demo, encoder)
    photo = next(hit for hit in engine.search("a cup of coffee") if hit.item.path.name == "coffee.jpg")
    (words,) = words_of(demo.catalog.vectors([photo.id]).rows, known, judge_for(encoder.checksum, rivals(demo)), k=5)
    for word in words:
        hits = engine.search(parse(word.word, relevant=True, fits="loosely", k=100))
        chances = {hit.id: hit.probability for hit in hits}
        if photo.id in chances:
            assert chances[photo.id] == pytest.approx(word.probability, abs=0.02)  # the word's vector is kept in int8
        else:
            assert word.probability < judge_for(encoder.checksum, rivals(demo)).cuts["loosely"].sure + 0.02


def test_a_filter_does_not_change_what_fits(demo: Library) -> None:
    engine = Engine(demo, demo.encoder(device="cpu"))
    everything = {hit.item.path.name for hit in engine.search(parse("a cup of coffee", relevant=True, fits="loosely"))}
    assert "coffee.jpg" in everything
    for name in ("coffee.jpg", "cat.jpg"):
        from search import Filter

        filtered = parse("a cup of coffee", relevant=True, fits="loosely", filters=[Filter("path", f"*{name}")])
        assert {hit.item.path.name for hit in engine.search(filtered)} == everything & {name}


def test_a_single_word_finds_its_photo_surely(demo: Library) -> None:
    engine = Engine(demo, demo.encoder(device="cpu"))
    loosely = engine.search(Query(parse("cat").terms, relevant=True, fits="loosely"))
    assert loosely[0].item.path.name == "cat.jpg"

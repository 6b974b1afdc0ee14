"""Questions that the shipped encoder cannot know are told, and English ones are not."""

import json
from pathlib import Path

import pytest

from evaluation.questions import HERE
from indexer.encoders import load_encoder
from search.languages import not_understood
from search.lexical import quoted

FLICKR8K = Path(__file__).parents[3] / "shared" / "data" / "flickr8k" / "captions.jsonl"


def told(sentence: str) -> list[str]:
    return not_understood(sentence, load_encoder(device="cpu").tower("text").is_whole)


def test_the_words_are_named_if_they_are_half_of_the_question() -> None:
    assert told("un perro en la playa") == ["un", "perro", "en", "playa"]
    assert told("собака на пляже") == ["собака", "на", "пляже"]
    assert told("Tofino") == ["tofino"]
    assert told("a dog on the beach of Tofino") == []
    assert told("") == told("2019") == told("?!") == []


@pytest.mark.parametrize(
    "question",
    [
        "a snowboarder",
        "skateboarding",
        "the puppies' toys",
        "T-shirts",
        "grandma's van",
        "sushi",
        "a café",
        "piñata",
    ],
)
def test_forms_and_compounds_of_english_words_are_known(question: str) -> None:
    assert told(question) == []


def test_nine_of_ten_foreign_questions_are_told() -> None:
    table = json.loads((HERE / "foreign_questions.json").read_text(encoding="utf-8"))
    questions = [question for asked in table.values() for question in asked]
    assert len(questions) == 100
    assert sum(bool(told(question)) for question in questions) >= 90


def test_of_english_questions_less_than_one_in_a_hundred_is_told() -> None:
    kinds = json.loads((HERE / "kinds_of_questions.json").read_text(encoding="utf-8"))
    questions = [question for rules in kinds.values() for question in rules]
    for name in ("things", "absent_queries", "everyday_queries"):
        questions += json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    assert len(questions) > 500
    assert sum(bool(told(question)) for question in questions) < len(questions) / 100


@pytest.mark.skipif(not FLICKR8K.is_file(), reason="needs Flickr8k in ../shared/data")
def test_of_captions_less_than_one_in_a_hundred_is_told() -> None:
    captions = [json.loads(line)["captions"][0] for line in FLICKR8K.read_text().splitlines()[:1000]]
    assert sum(bool(told(caption)) for caption in captions) < 10


@pytest.mark.parametrize(
    ("question", "texts"),
    [
        ('a sign that says "stop"', ["stop"]),
        ('"sale"', ["sale"]),
        ("a shirt with “I love NY” on it", ["I love NY"]),
        ("ein Schild mit „Ausgang“", ["Ausgang"]),
        ("un panneau « sortie »", ["sortie"]),
        ('two "words" and "more"', ["words", "more"]),
        ("the dog's ball and the cats' bed", []),
        ('beach -"old people" +2:"blue sky"', []),
        ('a 5" screen', []),
        ("", []),
    ],
)
def test_what_is_quoted_is_told_apart_from_apostrophes_and_from_terms_held_together(question, texts) -> None:
    assert quoted(question) == texts

"""Questions with several right photos: what a rule says of captions, and what is measured by it."""

import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from evaluation.datasets import DataError, Example
from evaluation.questions import QUESTIONS, Captions, held_out_photos, kinds
from indexer import Encoder

DATA = Path(__file__).parents[3] / "shared" / "data"
TABLE = json.loads(QUESTIONS.read_text(encoding="utf-8"))


def photo(color: str) -> bytes:
    content = BytesIO()
    Image.new("RGB", (8, 8), color).save(content, "PNG")
    return content.getvalue()


def example(*captions: str, color: str = "red") -> Example:
    return Example("", photo(color), captions)


@pytest.mark.parametrize(
    ("rule", "caption", "fits"),
    [
        ("dog", "Two DOGS run", True),
        ("dog", "a dogged man", False),
        ("man|guy dog", "a dog beside a guy", True),
        ("man|guy dog", "a man beside a cat", False),
        ("red_shirt|jacket", "in a red and white shirt", True),
        ("red_shirt|jacket", "a jacket over a red shirt", True),
        ("red_shirt|jacket", "a shirt that is red", False),
        ("red_shirt|jacket", "a red car, a man in a shirt", False),
        ("cat or dog", "a dog", True),
        ("t-shirt", "a T-shirt.", True),
    ],
)
def test_a_rule_is_words_of_one_caption(rule: str, caption: str, fits: bool) -> None:
    assert Captions([example("nothing"), example(caption)]).saying(rule).tolist() == [0, int(fits)]


def test_the_words_of_a_rule_stand_in_one_caption_and_captions_are_counted() -> None:
    captions = Captions([example("a man", "a dog"), example("a man with a dog", "a dog, a man", "a dog")])
    assert captions.saying("man dog").tolist() == [0, 2]
    assert captions.saying("red_shirt").tolist() == [0, 0]
    assert Captions([example("red", "shirt")]).saying("red_shirt").tolist() == [0]


def test_a_photo_without_colours_is_grey() -> None:
    captions = Captions([example("a man", color="gray"), example("a man"), example("a dog", color="white")])
    assert captions.saying("@grey").tolist() == [1, 0, 1]
    assert captions.saying("@grey man").tolist() == [1, 0, 0]


def test_precision_counts_against_what_could_be_found(encoder: Encoder, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("evaluation.questions.QUESTIONS", tmp_path / "questions.json")
    examples = [example("a red thing"), example("a red thing"), *[example("a blue thing", color="blue")] * 6]
    (tmp_path / "questions.json").write_text(
        json.dumps({"colours": {"red": "red", "blue": "blue", "a red sea": "blue"}})
    )
    table = kinds(encoder, examples)
    assert table["by kind"]["colours"] == {"questions": 3, "P@5": pytest.approx((1 + 1 + 3 / 5) / 3)}
    (tmp_path / "questions.json").write_text(json.dumps({"colours": {"green": "green"}}))
    with pytest.raises(DataError, match="'green'"):
        kinds(encoder, examples)


def test_there_are_a_hundred_and_fifty_questions() -> None:
    assert sum(map(len, TABLE.values())) == 150


@pytest.mark.skipif(not DATA.is_dir(), reason="needs Flickr8k and COCO in ../shared/data")
def test_every_question_has_several_right_photos() -> None:
    captions = Captions(held_out_photos(DATA))
    assert all((captions.saying(rule) > 0).sum() >= 3 for rules in TABLE.values() for rule in rules.values())

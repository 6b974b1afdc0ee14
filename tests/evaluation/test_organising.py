"""The measures of words and tags, on photos of one colour each, where what is right is known."""

from io import BytesIO

import pytest
from PIL import Image

from evaluation.datasets import Example
from evaluation.organising import tagging, words
from indexer import Encoder

COLORS = ("red", "green", "blue", "yellow")


def photo(color: str) -> bytes:
    content = BytesIO()
    Image.new("RGB", (8, 8), color if color != "green" else "lime").save(content, "PNG")
    return content.getvalue()


def test_words_are_right_where_the_captions_hold_them(encoder: Encoder) -> None:
    examples = [Example(color, photo(color), (f"something {color}", "a colourful thing")) for color in COLORS]
    table = words(encoder, examples)["plain"]
    assert table["right"] >= 1 / 5  # the colour itself; the encoder knows no other word
    assert table["distinct right parts"] == 1
    wrong = [Example(example.where, example.photo, ("nothing of the kind",)) for example in examples]
    assert words(encoder, wrong)["plain"]["right"] == 0


def test_tags_are_right_where_they_are_the_label_and_other_where_it_is_not_offered(encoder: Encoder) -> None:
    table = tagging(encoder, [Example(color, photo(color), label=color) for color in COLORS for _ in range(3)])
    for measures in table.values():
        assert measures["right tag"] >= measures["best tag right"]
        assert all(0 <= value <= 1 for value in measures.values())
    assert max(measures["best tag right"] for measures in table.values()) == pytest.approx(1)

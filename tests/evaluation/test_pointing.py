"""The pointing game with photos of one colour, whose answers are known."""

from pathlib import Path

import pytest
from painting import Watched, paint
from PIL import Image

from evaluation.__main__ import main
from evaluation.datasets import Example
from evaluation.pointing import SIDE, inside, mosaic, pointing
from indexer import Encoder
from indexer.errors import EncoderUnavailable
from indexer.testing import PictureColors, WordColors

COLOURS = ("red", "lime", "blue", "yellow")  # what Pillow calls lime, the encoder calls green


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    said = {"lime": "green"}
    return [
        Example(colour, paint(tmp_path / f"{colour}.png", colour), (f"all {said.get(colour, colour)}",))
        for colour in COLOURS
    ]


def test_an_encoder_that_sees_colours_points_at_every_one_of_them(encoder: Encoder, examples: list[Example]) -> None:
    assert pointing(encoder, examples, canvases=4) == {
        "two photos": {"peak on its photo": 1.0, "chance": 0.5},
        "four photos": {"peak on its photo": 1.0, "chance": 0.25},
    }


def test_one_that_is_shown_wrong_captions_does_not(encoder: Encoder, examples: list[Example]) -> None:
    wrong = [Example(one.where, one.photo, examples[(number + 1) % 4].captions) for number, one in enumerate(examples)]
    assert pointing(encoder, wrong, canvases=4)["four photos"]["peak on its photo"] == 0


def test_one_that_keeps_no_places_apart_is_refused(examples: list[Example]) -> None:
    blind = Encoder("blind", 4, "0", {"image": lambda: Watched(PictureColors()), "text": WordColors})
    with pytest.raises(EncoderUnavailable, match="blind cannot say what it sees where"):
        pointing(blind, examples)


def test_a_mosaic_is_laid_row_by_row(examples: list[Example]) -> None:
    canvas = mosaic([example.image() for example in examples], (2, 2))
    middles = [(SIDE // 2, SIDE // 2), (3 * SIDE // 2, SIDE // 2), (SIDE // 2, 3 * SIDE // 2), (3 * SIDE // 2,) * 2]
    assert [canvas.getpixel(place) for place in middles] == [
        Image.new("RGB", (1, 1), colour).getpixel((0, 0)) for colour in COLOURS
    ]


def test_a_place_on_a_corner_belongs_to_four_photos_in_equal_parts() -> None:
    assert [inside((0.5, 0.5), number, (2, 2)) for number in range(4)] == [0.25] * 4


def test_the_command_needs_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pointing"]) == 2
    assert "--data is needed" in capsys.readouterr().err

"""What a question says of photos beside what they show."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from painting import paint

from search import Filter
from search.cli import main
from search.conversation import Conversation, breadcrumb, step
from search.reading import read

GREY = (Filter("colour", "black-and-white"), Filter("colour", "sepia"))
SEPIA = (Filter("colour", "sepia"),)


@pytest.mark.parametrize(
    ("question", "rest", "filters"),
    [
        ("black and white photo of a dog", "photo of a dog", GREY),
        ("a black and white photo of a man", "a photo of a man", GREY),
        ("A Black-and-White Portrait of my grandfather", "A Portrait of my grandfather", GREY),
        ("old black & white pictures of trains", "old pictures of trains", GREY),
        ("a b&w shot of a street", "a shot of a street", GREY),
        ("monochrome image of a bridge", "image of a bridge", GREY),
        ("a dog in black and white", "a dog", GREY),
        ("a dog in a black and white photo", "a dog", GREY),
        ("people in a black and white photo", "people", GREY),
        ("photos in black and white of a church", "photos of a church", GREY),
        ("a woman in b&w", "a woman", GREY),
        ("a bridge in monochrome", "a bridge", GREY),
        ("black and white, a dog", "a dog", GREY),
        ("a harbour at night, black and white", "a harbour at night", GREY),
        ("b&w street", "street", GREY),
        ("street b/w", "street", GREY),
        ("Schwarzweißfoto von einem Hund", "foto von einem Hund", GREY),
        ("ein schwarz-weißes Bild von einer Katze", "ein Bild von einer Katze", GREY),
        ("ein Hund in Schwarz-Weiß", "ein Hund", GREY),
        ("une photo de chien en noir et blanc", "une photo de chien", GREY),
        ("foto de un perro en blanco y negro", "foto de un perro", GREY),
        ("a sepia photo of a wedding", "a photo of a wedding", SEPIA),
        ("a wedding in sepia", "a wedding", SEPIA),
        ("black and white", "black and white", GREY),
        ("schwarzweiß", "schwarzweiß", GREY),
        ("a black and white photo", "a black and white photo", GREY),
        ("monochrome", "monochrome", GREY),
        ("b&w", "b&w", GREY),
        ("sepia", "sepia", SEPIA),
    ],
)
def test_a_question_may_ask_for_photos_without_colours(question: str, rest: str, filters: tuple[Filter, ...]) -> None:
    left, found = read(question)
    assert (left, [one.filters for one in found]) == (rest, [filters])


@pytest.mark.parametrize(
    "question",
    [
        "a black and white dog", "black and white cat", "a photo of a black and white cow", "black and white ball",
        "a black and white dog photo", "a man in black and white", "two women dressed in black and white",
        "a referee in black and white", "a dog wearing black and white", "a black and white picture frame",
        "a black and white photo on a wall", "a man holding a black and white photo", "black and white stripes",
        'a dog "in black and white"', '"black and white photo" of a dog', "a dog not in black and white",
        "a dog -black and white photo", "white photo", "a white dog", "a chess board, black", "un chien noir et blanc",
        "ein schwarz-weißer Hund", "a bathroom scale", "a sepia ink bottle", "a monochrome dress",
        "a sign that says b & w tv",
    ],
)  # fmt: skip
def test_what_may_be_the_colour_of_a_thing_stays_in_the_sentence(question: str) -> None:
    assert read(question) == (question, [])


@pytest.mark.parametrize("question", ["a dog in black and white last summer", "a dog last summer in black and white"])
def test_a_question_may_say_both_when_and_how(question: str) -> None:
    rest, found = read(question)
    assert rest == "a dog"
    assert {one.said for one in found} == {"black and white", "last summer"}
    assert {filter.field for one in found for filter in one.filters} == {"on", "colour"}


def test_what_is_read_is_told_as_the_options_that_say_the_same() -> None:
    (found,) = read("a dog in black & white")[1]
    assert found.note.startswith("'black & white' is read as --colour black-and-white --colour sepia; within quotes")


def test_a_question_for_black_and_white_finds_such_photos_alone_and_says_why(tmp_path: Path) -> None:
    def descry(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["--library", str(tmp_path / "library"), *arguments])

    for color in ("gray", "red"):
        paint(tmp_path / "photos" / f"{color}.png", color)
    assert descry("index", str(tmp_path / "photos")).exit_code == 0
    answer = descry("search", "something", "in", "black", "and", "white", "--format", "paths")
    assert [Path(path).name for path in answer.stdout.split()] == ["gray.png"]
    assert "'black and white' is read as --colour black-and-white --colour sepia" in answer.stderr
    quoted = descry("search", '"something in black and white"', "--format", "paths")
    assert (len(quoted.stdout.split()), "is read as" in quoted.stderr) == (2, False)


def test_the_prompt_shows_what_it_read_as_filters() -> None:
    after = step(Conversation(), "a dog in black and white")
    assert breadcrumb(after.query) == "a dog, only colour black-and-white, only colour sepia"

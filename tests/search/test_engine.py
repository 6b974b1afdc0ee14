"""Answers, checked by eye: pictures of one colour, and sentences that name colours."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from painting import paint
from PIL import Image

from indexer import Library, index_sources
from indexer.errors import EncoderMismatch, QueryError
from indexer.reembedding import reembed
from indexer.testing import COLORS, color_encoder
from search import Engine, Filter, Hit, Query, Term, parse
from search.engine import KEPT
from search.query import like
from search.relevance import Cut


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, color in COLORS.items():
        Image.new("RGB", (32, 24), tuple(round(255 * part) for part in color)).save(folder / f"{name}.png")
    (folder / "notes.txt").write_text("something red\n\nsomething blue\n\nnothing of a colour\n")
    return folder


@pytest.fixture
def library(tmp_path: Path, photos: Path) -> Iterator[Library]:
    encoder = color_encoder()
    with Library.create(tmp_path / "library", encoder) as library:
        index_sources(library, [photos], encoder)
        yield library


@pytest.fixture
def engine(library: Library) -> Engine:
    return Engine(library, color_encoder())


def names(hits: list[Hit]) -> list[str]:
    return [hit.item.path.name for hit in hits]


def test_a_sentence_finds_the_photo(engine: Engine) -> None:
    hits = engine.search("a red one")
    assert names(hits)[0] == "red.png"
    assert hits[0].score == pytest.approx(1, abs=1e-3)
    assert len(hits) == len(COLORS)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_scores_are_the_cosines_of_brute_force(engine: Engine, library: Library) -> None:
    (vectors,) = library.catalog.vectors_since("image", 0)
    row = engine.embed([parse("orange")])[0]
    expected = {id: float(vector @ row) for id, vector in zip(vectors.ids.tolist(), vectors.rows, strict=True)}
    hits = engine.search(parse("orange", k=100))
    assert [hit.item.id for hit in hits] == sorted(expected, key=lambda id: (-expected[id], id))
    assert [hit.score for hit in hits] == pytest.approx([expected[hit.item.id or 0] for hit in hits], abs=1e-4)


def test_a_photo_finds_photos_like_it_and_leaves_itself_out(engine: Engine, photos: Path) -> None:
    assert names(engine.search(like(photos / "red.png", k=2))) == ["orange.png", "magenta.png"]
    assert names(engine.search(like(photos / "red.png", k=1, include_self=True))) == ["red.png"]


def test_a_photo_leaves_itself_out_by_whatever_path_it_is_named(
    engine: Engine, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link.png").symlink_to(photos / "red.png")
    monkeypatch.chdir(photos)
    for path in (Path("red.png"), photos / ".." / "photos" / "red.png", tmp_path / "link.png"):
        assert "red.png" not in names(engine.search(like(path)))


def test_a_photo_from_elsewhere_needs_no_library_entry(engine: Engine, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), "blue").save(tmp_path / "sea.jpg")
    assert names(engine.search(like(tmp_path / "sea.jpg", k=1))) == ["blue.png"]


def test_a_photo_finds_sentences(engine: Engine, photos: Path) -> None:
    hits = engine.search(like(photos / "blue.png", wanted="text"))
    assert hits[0].item.text == "something blue"
    assert hits[0].item.part == "p2"


def test_a_sentence_finds_sentences(engine: Engine) -> None:
    assert engine.search(parse("red", wanted="text", k=1))[0].item.text == "something red"


def test_terms_are_added_and_taken_away(engine: Engine) -> None:
    assert names(engine.search(parse("red + green", k=1))) == ["yellow.png"]
    assert engine.search(parse("2:red + green", k=1))[0].item.path.name == "orange.png"


def test_a_photo_and_words_make_one_query(engine: Engine, photos: Path) -> None:
    assert names(engine.search(parse([str(photos / "red.png"), "+", "green"], k=1))) == ["yellow.png"]


def test_what_resembles_what_is_taken_away_pays_for_it(engine: Engine) -> None:
    assert names(engine.search(parse("white", k=1))) == ["white.png"]
    assert names(engine.search(parse("white -blue", k=1))) == ["yellow.png"]
    plain = {hit.item.id: hit for hit in engine.search(parse("yellow", k=8))}
    hits = engine.search(parse("yellow -red", k=8))
    assert hits == sorted(hits, key=lambda hit: hit.penalty - hit.score)
    for hit in hits:  # scores stay the cosines with what is wanted
        assert hit.score == pytest.approx(plain[hit.item.id].score)
    assert {hit.item.path.stem: hit.penalty == 0 for hit in hits} == {
        name: name in ("green", "blue", "cyan") for name in COLORS
    }
    assert all(hit.penalty is None for hit in plain.values())


def test_only_taking_away_finds_the_opposite(engine: Engine) -> None:
    assert names(engine.search(parse("-red", k=8)))[-1] == "red.png"


def test_an_item_of_the_library_is_a_term_without_its_file(engine: Engine, photos: Path) -> None:
    (red,) = engine.search(parse("red", k=1))
    expected = names(engine.search(like(photos / "red.png", k=3)))
    (photos / "red.png").unlink()
    assert names(engine.search(parse(f"id:{red.item.id}", k=3))) == expected
    assert names(engine.search(parse(f"id:{red.item.id} + green", k=1))) == ["yellow.png"]
    (itself,) = engine.search(like(red.item.id or 0, k=1, include_self=True))
    assert itself.item == red.item
    assert itself.score == pytest.approx(1, abs=1e-3)


def test_a_passage_of_the_library_finds_photos_and_passages(engine: Engine) -> None:
    (passage,) = engine.search(parse("blue", wanted="text", k=1))
    assert names(engine.search(like(f"id:{passage.item.id}", k=1))) == ["blue.png"]
    assert passage.item not in [hit.item for hit in engine.search(like(passage.item.id or 0, wanted="text"))]


def test_an_id_that_is_not_there_is_named(engine: Engine) -> None:
    with pytest.raises(QueryError, match="holds nothing under id 4711"):
        engine.search("red + id:4711")


def test_several_photos_are_one_question_or_several(engine: Engine, photos: Path) -> None:
    both = (photos / "red.png", photos / "cyan.png")
    assert names(engine.search(like(*both, k=1))) == ["white.png"]
    red, cyan = ({hit.id: hit.score for hit in engine.search(like(path, k=8))} for path in both)
    best = {id: max(red[id], cyan[id]) for id in red.keys() & cyan.keys()}
    hits = engine.search(like(*both, k=8, best_of_each=True))
    assert [hit.id for hit in hits] == sorted(best, key=lambda id: (-best[id], id))
    assert [hit.score for hit in hits] == pytest.approx(sorted(best.values(), reverse=True))


def test_what_is_nearly_the_same_is_folded_and_counted(engine: Engine, library: Library, photos: Path) -> None:
    for copy in range(15):
        Image.new("RGB", (10 + copy, 10), (255, copy, 0)).save(photos / f"copy-{copy:02}.png")
    index_sources(library, [photos], color_encoder())
    hits = engine.search(parse("red", k=3, unique=True))
    assert [(hit.item.path.stem, hit.alike) for hit in hits] == [
        ("red", 15),
        ("orange", 1),
        ("magenta", 0),
    ]  # yellow, too


def test_variety_is_preferred_if_asked_for(engine: Engine, library: Library, photos: Path) -> None:
    for copy in range(5):
        Image.new("RGB", (10 + copy, 10), (255, copy, 0)).save(photos / f"copy-{copy:02}.png")
    index_sources(library, [photos], color_encoder())
    plain, varied = (names(engine.search(parse("red", k=4, diverse=diverse))) for diverse in (False, True))
    assert sum("copy" in name for name in plain) == 3
    assert sum("copy" in name for name in varied) < 3
    assert varied[0] == plain[0]


class Threshold:
    """Fits from a cosine of 0.8, with the cosine as the probability."""

    cuts: ClassVar = {"loosely": Cut(0.5, 0.5), "normally": Cut(0.8, 0.8)}

    def asked(self, _rows: np.ndarray) -> "Threshold":
        return self

    def to_beat(self, rows: np.ndarray) -> np.ndarray:
        return np.empty((len(rows), 0))

    def probabilities(self, scores: np.ndarray, _to_beat: np.ndarray, background: np.ndarray) -> np.ndarray:
        assert len(background) == len(COLORS)
        return scores

    def is_sure(self, witnesses: list[float], strictness: str, **_: object) -> bool:
        return max(witnesses) >= self.cuts[strictness].sure


@pytest.fixture
def threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.relevance.judge_for", lambda _checksum, _rivals, **_: Threshold())


@pytest.mark.usefixtures("threshold")
def test_only_what_fits_is_found_if_asked_for(engine: Engine) -> None:
    hits = engine.search(parse("red", relevant=True))
    assert set(names(hits)) == {"red.png", "orange.png"}
    assert [hit.probability for hit in hits] == pytest.approx([hit.score for hit in hits], abs=1e-3)
    assert len(engine.search(parse("red", relevant=True, fits="loosely"))) > len(hits)
    assert engine.search(parse("red - 0.8:orange", relevant=True)) == []


@pytest.mark.usefixtures("threshold")
def test_another_order_takes_all_that_fits_and_nothing_else(engine: Engine) -> None:
    assert names(engine.search(parse("red", sort="path", k=5))) == ["orange.png", "red.png"]
    assert names(engine.search(parse("red", sort="path", k=1))) == ["orange.png"]


def test_words_find_what_meaning_does_not_see(engine: Engine, library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "Germany2019"
    folder.mkdir()
    Image.new("RGB", (9, 9), "blue").save(folder / "blue.png")
    index_sources(library, [folder], color_encoder())
    assert engine.search(parse("holidays in germany", k=1, by_words=True))[0].item.path.parent == folder
    assert engine.search(parse("holidays in germany", k=1))[0].item.path.parent != folder
    found = engine.search(parse("red germany", k=20, by_words=True))
    assert {hit.item.path.parent.name for hit in found[:2]} == {"photos", "Germany2019"}
    assert len(found) == len({hit.item.id for hit in found}) == len(COLORS) + 1
    assert [hit.rank_score for hit in found] == sorted((hit.rank_score or 0 for hit in found), reverse=True)
    vectors = library.catalog.vectors([hit.item.id or 0 for hit in found]).rows
    cosines = vectors @ engine.embed([parse("red germany")])[0]
    shares = [0.5 * (hit.item.path.parent == folder or hit.item.path.stem == "red") for hit in found]
    expected = cosines + 6 * cosines.std() * np.array(shares)
    np.testing.assert_allclose([hit.rank_score or 0 for hit in found], expected, atol=1e-3)
    elsewhere = parse("red germany", k=20, by_words=True, filters=[Filter("in", str(tmp_path / "photos"))])
    assert folder not in {hit.item.path.parent for hit in engine.search(elsewhere)}


@pytest.mark.parametrize(
    "question", ['red "', "red AND", "OR NOT red*", "NEAR(red, 2)", "red:blue", "(red", "^red", "…"]
)
def test_words_that_mean_something_to_the_database_are_words(engine: Engine, question: str) -> None:
    assert len(engine.search(parse(question, k=20, by_words=True))) == len(COLORS)


def test_terms_that_cancel_each_other_out_are_refused(engine: Engine) -> None:
    with pytest.raises(QueryError, match="cancel"):
        engine.search("red - red")


def test_many_queries_are_answered_like_one_by_one(engine: Engine, photos: Path) -> None:
    queries: list[Query | str] = ["red", like(photos / "blue.png"), parse("green", wanted="text", k=1)]
    assert engine.search_many(queries) == [engine.search(query) for query in queries]
    assert engine.search_many([]) == []


def test_asking_for_more_than_there_is_gives_all_there_is(engine: Engine) -> None:
    assert len(engine.search(parse("red", k=10**9))) == len(COLORS)


def test_equal_scores_keep_their_order_whatever_is_asked_for(engine: Engine, library: Library, photos: Path) -> None:
    for copy in range(20):
        Image.new("RGB", (10 + copy, 10), "red").save(photos / f"copy-{copy:02}.png")
    index_sources(library, [photos], color_encoder())
    everything = engine.search(parse("red", k=100))
    for k in range(1, 25):
        assert engine.search(parse("red", k=k)) == everything[:k]


def test_a_vanished_photo_is_marked_not_hidden(engine: Engine, photos: Path) -> None:
    (photos / "red.png").unlink()
    (hit,) = engine.search(parse("red", k=1))
    assert hit.missing
    assert hit.item.path.name == "red.png"


def test_photos_indexed_meanwhile_are_found_by_an_open_engine(engine: Engine, library: Library, photos: Path) -> None:
    engine.search("red")
    Image.new("RGB", (5, 5), (90, 0, 0)).save(photos / "dark.png")
    (photos / "blue.png").unlink()
    index_sources(library, [photos], color_encoder())
    found = names(engine.search(parse("red", k=100)))
    assert "dark.png" in found
    assert "blue.png" not in found


def test_an_unknown_modality_is_refused_by_name(engine: Engine) -> None:
    with pytest.raises(QueryError, match=r"'sound' cannot be looked for; image and text"):
        engine.search(Query((Term("text", "red"),), wanted="sound"))


def test_a_file_that_is_no_photo_is_refused_with_the_reason(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "fake.jpg").write_text("words")
    with pytest.raises(QueryError, match=r"fake\.jpg cannot be searched with: it is not a photo"):
        engine.search(like(tmp_path / "fake.jpg"))


def test_a_photo_whose_pixels_are_broken_is_named_too(engine: Engine, tmp_path: Path) -> None:
    paint(tmp_path / "cut.png", (255, 0, 0))
    content = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[:45])
    with pytest.raises(QueryError, match=r"cut\.png cannot be searched with: "):
        engine.search(like(tmp_path / "cut.png"))


def test_an_empty_library_answers_with_nothing(tmp_path: Path) -> None:
    encoder = color_encoder()
    with Library.create(tmp_path / "empty", encoder) as library:
        assert Engine(library, encoder).search("red") == []


def test_another_encoder_is_refused(library: Library) -> None:
    with pytest.raises(EncoderMismatch):
        Engine(library, color_encoder(checksum="1"))


def test_a_sentence_that_does_not_fit_is_told(engine: Engine) -> None:
    assert engine.truncated(parse("red")) == []
    assert engine.truncated(parse("red " * 40)) == [("red " * 40).strip()]


def test_query_rows_are_unit_rows(engine: Engine) -> None:
    rows = engine.embed([parse("red + 3:green"), parse("nothing")])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)


def test_an_engine_whose_library_was_given_another_encoder_refuses_to_compare(tmp_path: Path) -> None:
    paint(tmp_path / "photos" / "red.png", "red")
    encoder, other = color_encoder(), color_encoder(checksum="1")
    with Library.create(tmp_path / "library", encoder) as library:
        index_sources(library, [tmp_path / "photos"], encoder)
        with Library.open(tmp_path / "library") as reader:
            engine = Engine(reader, encoder)
            assert len(engine.search("red")) == 1
            reembed(library, other)
            with pytest.raises(EncoderMismatch):
                engine.search("red")


def test_what_a_filter_lets_through_is_kept_until_the_library_changes(
    engine: Engine, library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = parse("red", filters=[Filter("path", "*re*.png")], k=20)
    asked = []
    ids = library.catalog.ids
    monkeypatch.setattr(library.catalog, "ids", lambda *given: asked.append(given) or ids(*given))
    before = names(engine.search(query))
    assert sorted(before) == ["green.png", "red.png"]
    assert names(engine.search(query)) == before
    assert len(asked) == 1
    Image.new("RGB", (8, 8), (200, 0, 0)).save(photos / "rest.png")
    index_sources(library, [photos], color_encoder())
    assert sorted(names(engine.search(query))) == ["green.png", "red.png", "rest.png"]
    for number in range(10):
        engine.search(parse("red", filters=[Filter("min-width", str(number))]))
    assert len(engine._kept) <= KEPT


def test_marked_hits_draw_the_question(engine: Engine) -> None:
    ids = {hit.item.path.stem: hit.id for hit in engine.search(parse("white", k=20))}
    plain = names(engine.search(parse("red", k=8)))
    drawn = engine.search(parse("red", k=8, right=(ids["magenta"], ids["blue"]), wrong=(ids["yellow"],)))
    assert names(drawn).index("magenta.png") < plain.index("magenta.png")
    assert names(drawn).index("yellow.png") > plain.index("yellow.png")
    assert names(engine.search(parse("red", k=8, right=(4711,)))) == plain  # whoever marked it saw it go

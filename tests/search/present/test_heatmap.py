"""Heat over photos: where it lies, how it looks, and where the picture goes."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from click.testing import CliRunner
from painting import Watched
from PIL import ExifTags, Image

from indexer import Encoder, shipped
from indexer.errors import EncoderUnavailable, PathError, QueryError
from indexer.testing import PictureColors
from search.cli import main
from search.present.heatmap import Heat, draw, heats, inferno, place_for, save, warmed


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """Red on the left, blue on the right, 40 x 20."""
    path = tmp_path / "flag.png"
    drawn = Image.new("RGB", (40, 20), "red")
    drawn.paste("blue", (20, 0, 40, 20))
    drawn.save(path)
    return path


def test_the_words_fit_the_half_of_their_colour(encoder: Encoder, flag: Path) -> None:
    red, blue = heats(encoder, flag, ["red", "blue"])
    assert red.cells.shape == (20, 40)
    assert red.place[0] < 0.5 < blue.place[0]
    assert red.peak == pytest.approx(1, abs=1e-5)
    left, right = red.cells[:, :20], red.cells[:, 20:]
    assert left.min() > right.max()
    whole, sentence = encoder.embed("image", [Image.open(flag)])[0], encoder.embed("text", ["red"])[0]
    assert red.score == pytest.approx(float(whole @ sentence))


def test_a_photo_is_explained_upright(encoder: Encoder, tmp_path: Path) -> None:
    lying = Image.new("RGB", (40, 20), "red")  # by its EXIF block to be turned to the left: red on top, blue below
    lying.paste("blue", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 8
    lying.save(tmp_path / "lying.png", exif=exif)
    (red,) = heats(encoder, tmp_path / "lying.png", ["red"])
    assert red.cells.shape == (40, 20)
    assert red.place[1] < 0.5
    assert draw(tmp_path / "lying.png", [red]).width > draw(tmp_path / "lying.png", [red]).height / 2


def test_an_encoder_that_keeps_no_places_apart_is_refused(flag: Path) -> None:
    blind = Encoder("blind", 4, "0", {"image": lambda: Watched(PictureColors()), "text": lambda: None})  # type: ignore[arg-type, return-value]
    with pytest.raises(EncoderUnavailable, match="blind cannot say what it sees where"):
        heats(blind, flag, ["red"])


@pytest.mark.parametrize("sentences", [[], ["  "]])
def test_no_words_are_refused(encoder: Encoder, flag: Path, sentences: list[str]) -> None:
    with pytest.raises(QueryError, match="Say what to look for"):
        heats(encoder, flag, sentences)


def test_a_file_that_is_no_photo_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "fake.jpg").write_text("not a photo")
    with pytest.raises(QueryError, match="cannot be explained: it is not a photo"):
        heats(encoder, tmp_path / "fake.jpg", ["red"])


def test_warmth_has_the_colours_of_inferno() -> None:
    warmth = np.linspace(0, 1, 256, dtype=np.float32)
    original = mpl.colormaps["inferno"](np.arange(256))[:, :3] * 255
    assert np.abs(inferno(warmth) - original).max() < 7
    lightness = inferno(warmth) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


def test_what_fits_glows_and_what_does_not_is_dark() -> None:
    cells = np.zeros((2, 2), np.float32)
    cells[0, 1] = 1  # right above
    glowing = np.asarray(warmed(Image.new("RGB", (40, 40), "gray"), Heat("", 0, cells, (0, 0, 1, 1)), 0, 1))
    assert glowing[5, 35].sum() > 2 * glowing[35, 5].sum()
    assert (glowing[35, 5] < 70).all()


def test_what_the_encoder_did_not_see_stays_a_grey_photo() -> None:
    heat = Heat("", 0, np.ones((2, 2), np.float32), (0.25, 0, 0.75, 1))
    drawn = np.asarray(warmed(Image.new("RGB", (40, 20), (200, 200, 200)), heat, 0, 1))
    assert (drawn[:, :10] == 200).all()
    assert (drawn[:, 30:] == 200).all()
    assert (drawn[:, 12:28, 2] < 200).all()


def test_cells_beyond_a_padded_photo_are_left_out_and_its_peak_is_on_it() -> None:
    cells = np.zeros((4, 4), np.float32)
    cells[0, 2] = 1  # in the padding above
    heat = Heat("", 0, cells, (0, -0.5, 1, 1.5))
    assert heat.place == (0.625, 0)
    assert warmed(Image.new("RGB", (40, 20)), heat, 0, 1).size == (40, 20)


def test_several_sentences_are_several_pictures_beside_the_photo(encoder: Encoder, flag: Path) -> None:
    one, two, three = (
        draw(flag, heats(encoder, flag, ["red", "blue", "a very long sentence " * 9][:n])) for n in (1, 2, 3)
    )
    assert one.width < two.width == three.width
    assert three.height > two.height  # the fourth begins a row


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_the_suffix_names_the_format(encoder: Encoder, flag: Path, tmp_path: Path, suffix: str) -> None:
    place = place_for(flag, tmp_path / f"heat.{suffix}")
    save(draw(flag, heats(encoder, flag, ["red"])), place)
    with Image.open(place) as written:
        assert written.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[suffix]


def test_nothing_is_written_over_unless_it_may_be(flag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = place_for(flag, None)
    assert first == Path("flag-explained.png")
    first.touch()
    assert place_for(flag, None) == Path("flag-explained (2).png")
    with pytest.raises(PathError, match="is there already: choose another name, or add --overwrite"):
        place_for(flag, first)
    assert place_for(flag, first, overwrite=True) == first
    with pytest.raises(PathError, match="is there already: choose another name"):
        place_for(flag, flag, overwrite=True)
    with pytest.raises(PathError, match="names no kind of image"):
        place_for(flag, Path("heat.txt"))


def test_the_command_explains_a_photo_without_a_library(tmp_path: Path) -> None:
    out = tmp_path / "heat.png"
    arguments = ["explain", str(shipped("photos", "astronaut.jpg")), "a woman smiling", "a space shuttle"]
    done = CliRunner().invoke(
        main,
        ["--library", str(tmp_path / "none"), *arguments, "--out", str(out), "--format", "json", "--device", "cpu"],
    )
    assert done.exit_code == 0, done.stderr
    assert "heat.png shows it" in done.stderr
    woman, shuttle = json.loads(done.stdout)
    assert (woman["sentence"], shuttle["sentence"]) == ("a woman smiling", "a space shuttle")
    assert abs(woman["from the left"] - 0.45) < 0.15  # her face, and the model of the shuttle behind her
    assert woman["from the top"] < 0.4
    assert shuttle["from the left"] > 0.65
    with Image.open(out) as written:
        assert written.width > 3 * 400


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--library", str(tmp_path), "explain", str(tmp_path / "nowhere.jpg"), "a cat"])
    assert done.exit_code == 2
    assert "nowhere.jpg cannot be explained: no such file" in done.stderr
    assert list(tmp_path.iterdir()) == []

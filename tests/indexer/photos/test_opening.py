"""What is opened as a photo, and what is refused with its reason."""

import sys
from pathlib import Path

import numpy as np
import pytest
from make_bad_files import BAD_FILES
from make_photos import CAT, SIZE, cat
from PIL import Image

from indexer.errors import SourceError
from indexer.photos.facts import photo_facts
from indexer.photos.memory import BUDGET
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from indexer.photos.preprocessing import Preprocessing
from indexer.photos.suffixes import SUFFIXES


def test_a_bomb_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = BAD_FILES["decompression_bomb"](tmp_path)
    assert bomb is not None
    with pytest.raises(SourceError, match="900 megapixels, the limit is 250; --max-megapixels raises it"):
        open_photo(bomb.path)
    monkeypatch.setattr(BUDGET, "pixels", 900_000_000)
    assert open_photo(bomb.path).size == (30000, 30000)


def test_the_limit_itself_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cat().save(tmp_path / "cat.png")
    monkeypatch.setattr(BUDGET, "pixels", 160 * 106)
    assert open_photo(tmp_path / "cat.png")
    monkeypatch.setattr(BUDGET, "pixels", 160 * 106 - 1)
    with pytest.raises(SourceError):
        open_photo(tmp_path / "cat.png")


@pytest.mark.parametrize("name", [name for name in BAD_FILES if name.split("_")[0] not in ("unreadable", "zeros")])
def test_what_is_no_photo_says_why_as_a_source_error(name: str, tmp_path: Path) -> None:
    bad = BAD_FILES[name](tmp_path)
    if bad is None or bad.path.suffix not in SUFFIXES or bad.reason == "utf-8":
        return
    with pytest.raises(SourceError) as error:
        upright_rgb(open_photo(bad.path))
    assert bad.reason in str(error.value).lower()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2, 10, 1000, 4000])
def test_a_jpeg_that_lacks_its_last_bytes_is_seen_as_far_as_it_goes(
    missing: int, progressive: bool, mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    photo = Image.open(CAT.with_name("motorcycle.jpg")).convert(mode)
    photo.save(path, quality=90, progressive=progressive)
    truth = np.asarray(upright_rgb(open_photo(path)), int)
    assert "incomplete" not in photo_facts(open_photo(path))
    path.write_bytes(path.read_bytes()[:-missing])

    opened = open_photo(path)

    assert photo_facts(opened)["incomplete"] is True
    seen = np.asarray(upright_rgb(opened), int)
    assert np.abs(seen - truth)[: len(truth) * 3 // 4].mean() < 4
    recipe = Preprocessing(64, (0.5,) * 3, (0.5,) * 3)
    assert recipe.prepare(open_photo(path)).shape == (3, 64, 64)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_jpeg_of_which_much_is_missing_is_refused(share: float, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    content = CAT.with_name("motorcycle.jpg").read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SourceError, match="truncated"):
        upright_rgb(open_photo(path))


def test_what_lies_behind_a_jpeg_does_not_make_it_incomplete(tmp_path: Path) -> None:
    content = CAT.read_bytes()
    for tail in (bytes(100), b"\xff\xda a film", b"\r\n"):
        (tmp_path / "a.jpg").write_bytes(content + tail)
        assert "incomplete" not in photo_facts(open_photo(tmp_path / "a.jpg"))


def test_a_png_without_its_end_is_seen(tmp_path: Path) -> None:
    cat().save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:-12])
    assert upright_rgb(open_photo(tmp_path / "a.png")).tobytes() == cat().tobytes()


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tif", "webp"])
def test_postscript_is_no_photo_whatever_its_name(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", pytest.fail)
    path = tmp_path / f"a.{suffix}"
    cat().save(path, "EPS")
    with pytest.raises(SourceError, match="not a photo"):
        upright_rgb(open_photo(path))


def test_a_format_whose_reader_is_not_installed_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    monkeypatch.setitem(sys.modules, "rawpy", None)
    for name, content in (("a.jxl", b"\xff\x0a" + bytes(20)), ("a.nef", b"II*\0" + bytes(20))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceError, match=r"pip install 'descry\[formats\]'"):
            open_photo(tmp_path / name)


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    cat().save(path, progressive=True)
    content = path.read_bytes()
    assert upright_rgb(open_photo(path)).size == SIZE
    last = content.rindex(b"\xff\xda")
    path.write_bytes(content[:last] + content[last:-2] * 200 + content[-2:])
    with pytest.raises(SourceError, match="scans"):
        open_photo(path)

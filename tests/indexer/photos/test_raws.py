"""RAW photos, of which a DNG can be written here."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from make_photos import cat

from indexer.errors import SourceError
from indexer.photos.facts import photo_facts
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from indexer.photos.suffixes import SUFFIXES

pytest.importorskip("rawpy", reason="RAW photos come with descry[formats]")
SIZE = (640, 424)


def write_dng(path: Path, *, preview: bool = True, orientation: int = 1) -> Path:
    """The cat as a DNG: what a sensor saw of its grey, and a coloured preview of it at a quarter of its width."""
    photo = cat().resize(SIZE)
    seen = np.asarray(photo.convert("L")).astype(np.uint16) * 16
    ascii, byte, short, long, rational = 2, 1, 3, 4, 10
    camera = [
        *((271, ascii, 0, "Maker", True), (272, ascii, 0, "Model", True), (274, short, 1, orientation, True)),
        *((50706, byte, 4, b"\1\4\0\0", True), (50707, byte, 4, b"\1\1\0\0", True), (50708, ascii, 0, "Model", True)),
        (50721, rational, 9, (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1), True),
        (306, ascii, 0, "2023:05:04 12:30:09", True),
    ]
    mosaic = [(33421, short, 2, (2, 2), True), (33422, byte, 4, b"\0\1\1\2", True), (50717, long, 1, 4095, True)]
    with tifffile.TiffWriter(path) as file:
        if preview:
            small = np.asarray(photo.reduce(4))
            file.write(small, photometric="rgb", subfiletype=1, subifds=1, extratags=camera)
        file.write(seen, photometric="cfa", subfiletype=0, extratags=mosaic if preview else camera + mosaic)
    return path


def test_a_raw_photo_is_seen_by_its_preview_and_has_the_size_and_facts_of_the_photo(tmp_path: Path) -> None:
    path = write_dng(tmp_path / "a.dng")
    facts = photo_facts(open_photo(path))
    assert facts == {"width": 640, "height": 424, "camera": "Maker Model", "taken": "2023-05-04T12:30:09"}
    seen = np.asarray(upright_rgb(open_photo(path)), int)
    assert np.abs(seen - np.asarray(cat().resize(SIZE).reduce(4))).mean() < 2


def test_a_raw_photo_is_turned_upright(tmp_path: Path) -> None:
    path = write_dng(tmp_path / "a.dng", orientation=6)
    assert [photo_facts(open_photo(path))[side] for side in ("width", "height")] == [424, 640]
    seen = np.asarray(upright_rgb(open_photo(path)), int)
    assert np.abs(seen - np.rot90(np.asarray(cat().resize(SIZE).reduce(4)), -1)).mean() < 2


def test_a_raw_photo_without_a_preview_is_developed(tmp_path: Path) -> None:
    seen = upright_rgb(open_photo(write_dng(tmp_path / "a.dng", preview=False)))
    assert seen.size == (320, 212)
    grey = np.asarray(cat().resize(SIZE).reduce(2).convert("L"), float)
    assert np.corrcoef(np.asarray(seen.convert("L"), float).ravel(), grey.ravel())[0, 1] > 0.9


def test_what_is_no_raw_photo_is_refused(tmp_path: Path) -> None:
    for name, content in (("a.nef", b"II*\0" + bytes(100)), ("b.cr3", b"nothing"), ("c.dng", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceError):
            upright_rgb(open_photo(tmp_path / name))
        assert (tmp_path / name).suffix in SUFFIXES

"""Photos as items."""

from datetime import datetime
from pathlib import Path

from make_photos import with_exif

from indexer.modalities.base import ReadOptions
from indexer.modalities.image import IMAGE

OPTIONS = ReadOptions(lambda _: True)


def test_a_photo_is_one_item_with_its_facts_and_pixels(tmp_path: Path) -> None:
    path = with_exif(tmp_path / "a.jpg", taken=datetime(2020, 2, 29, 1, 2, 3))
    ((item, picture),) = IMAGE.read(path, OPTIONS)
    assert (item.modality, item.path, item.part, item.text, item.id) == ("image", path, "", "", None)
    assert item.facts == {"width": 160, "height": 106, "taken": "2020-02-29T01:02:03"}
    assert picture.size == (160, 106)


def test_reading_leaves_no_file_open(tmp_path: Path) -> None:
    path = with_exif(tmp_path / "a.jpg")
    ((_, picture),) = IMAGE.read(path, OPTIONS)
    path.unlink()
    picture.load()
    assert picture.getpixel((0, 0))

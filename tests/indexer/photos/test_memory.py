"""The budget of memory that decoders share."""

import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from indexer.errors import SourceError
from indexer.photos import memory
from indexer.photos.memory import Budget, machine_memory, needed
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from indexer.photos.preprocessing import Preprocessing

RECIPE = Preprocessing(224, (0.5,) * 3, (0.5,) * 3)


def huge_webp(folder: Path) -> Path:
    """A WebP of a hundred megapixels in some bytes: a header that says so, and pixels of one colour."""
    path = folder / "huge.webp"
    Image.new("RGB", (16, 16), "red").save(path, lossless=True)
    content, side = bytearray(path.read_bytes()), 10_000 - 1
    place = content.index(b"VP8L") + 9  # width and height less one, 14 bits each
    content[place : place + 4] = (
        int.from_bytes(content[place : place + 4], "little") >> 28 << 28 | side << 14 | side
    ).to_bytes(4, "little")
    path.write_bytes(content)
    return path


def test_no_more_is_lent_than_there_is_and_none_waits_for_ever() -> None:
    budget, most, now, watch = Budget(100), 0, 0, threading.Lock()

    def work(size: int) -> None:
        nonlocal most, now
        with budget.lent(size):
            with watch:
                now += size
                most = max(most, now)
            with budget.lent(90):  # what the thread holds already
                pass
            with watch:
                now -= size

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [30, 100, 10, 60, 1, 99, 50, 50] * 50))
    assert 0 < most <= 100
    assert now == 0


def test_what_is_taken_is_given_back_after_an_error() -> None:
    budget = Budget(100)
    for _ in range(3):
        with pytest.raises(RuntimeError), budget.lent(100):
            raise RuntimeError
    with budget.lent(100):
        pass


def test_a_photo_that_needs_more_than_all_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory.BUDGET, "total", 1 << 30)
    path = huge_webp(tmp_path)
    assert path.stat().st_size < 2000
    for decode in (RECIPE.prepare, upright_rgb):
        with pytest.raises(SourceError, match=r"it takes 2\.\d GB of memory .* limit is 1\.1; --max-memory raises it"):
            decode(open_photo(path))
    monkeypatch.setattr(memory.BUDGET, "total", 10)
    with pytest.raises(SourceError, match="--max-memory raises it"):
        open_photo(path)  # the file itself has more bytes


def test_a_jpeg_needs_what_its_scale_takes_and_all_coefficients_if_it_is_progressive(tmp_path: Path) -> None:
    for progressive in (False, True):
        Image.new("RGB", (4000, 3000)).save(tmp_path / "a.jpg", progressive=progressive)
        photo = open_photo(tmp_path / "a.jpg")
        assert needed(photo) >= 12 * 12e6
        assert needed(photo, 4) == pytest.approx(12e6 * (12 / 16 + 6 * progressive))


def test_numbers_that_are_no_bytes_count_by_their_size(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((100, 100, 3), np.float64), photometric="rgb")
    assert needed(open_photo(tmp_path / "a.tif")) > 5 * 24 * 100 * 100


@pytest.mark.parametrize("samples", [60_000])
def test_a_tiff_of_absurdly_many_samples_is_refused_by_its_header(samples: int, tmp_path: Path) -> None:
    tags = [(256, 4, 2000), (257, 4, 2000), (258, 3, 32), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, samples)]
    tags += [(278, 4, 2000), (279, 4, 100), (339, 3, 3)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4))
    with pytest.raises(SourceError):
        upright_rgb(open_photo(tmp_path / "a.tif"))


def test_the_machine_has_some_memory() -> None:
    assert 1 << 28 < machine_memory() < 1 << 50
    assert memory.LEAST <= Budget(memory.BUDGET.total).total <= memory.MOST

"""TIFFs of every kind of numbers, against the photo that they show: read as they are meant, or refused by name."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from make_photos import cat
from PIL import Image, ImageCms

from indexer.errors import SourceError
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from indexer.photos.preprocessing import Preprocessing
from indexer.photos.tiffs import eight_bits

RGB = np.asarray(cat())
GREY = np.asarray(cat().convert("L"))
ALPHA = np.tile(np.linspace(0, 255, GREY.shape[1]).astype(np.uint8), (len(GREY), 1))
KINDS = ("u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8")
COMPRESSIONS = {
    "plain": {},
    "deflate": {"compression": "deflate"},
    "predicted": {"compression": "lzw", "predictor": True},
}


def spread(values: np.ndarray, kind: str) -> np.ndarray:
    """Bytes as numbers of that kind: 255 is the largest there is, of floating ones 1."""
    if kind.startswith("f"):
        return (values / 255).astype(kind)
    return (values.astype(np.float64) / 255 * np.iinfo(kind).max).astype(kind)


def shown(path: Path) -> np.ndarray:
    return np.asarray(upright_rgb(open_photo(path)), dtype=float)


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., np.newaxis], 3, axis=-1).astype(float)


def assert_shows(path: Path, truth: np.ndarray, *, within: float = 2) -> None:
    pixels = shown(path)
    assert pixels.shape == truth.shape
    assert np.abs(pixels - truth).mean() < within


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("tile", [None, (64, 64)], ids=["strips", "tiles"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_any_kind_show_the_photo(
    kind: str, compression: str, tile: tuple[int, int] | None, order: str, tmp_path: Path
) -> None:
    if compression == "predicted":
        pytest.importorskip("imagecodecs", reason="LZW is written by imagecodecs")
    path = tmp_path / "a.tif"
    options = {"tile": tile, "byteorder": order, **COMPRESSIONS[compression]}
    planes = np.moveaxis(RGB, -1, 0)
    for values, truth, how in (
        (GREY, grey(GREY), {"photometric": "minisblack"}),
        (255 - GREY, grey(GREY), {"photometric": "miniswhite"}),
        (RGB, RGB, {"photometric": "rgb"}),
        (planes, RGB, {"photometric": "rgb", "planarconfig": "separate"}),
    ):
        tifffile.imwrite(path, spread(values, kind), **how, **options)
        assert_shows(path, truth)


LAYOUTS: dict[str, tuple[Callable[[Path], object], np.ndarray]] = {
    "grey and alpha": (
        lambda path: tifffile.imwrite(
            path, np.dstack([GREY, ALPHA]), photometric="minisblack", extrasamples=["unassalpha"]
        ),
        grey(
            np.asarray(Image.composite(Image.fromarray(GREY), Image.new("L", cat().size, 255), Image.fromarray(ALPHA)))
        ),
    ),
    "deep grey and alpha": (
        lambda path: tifffile.imwrite(
            path, spread(np.dstack([GREY, ALPHA]), "u2"), photometric="minisblack", extrasamples=["unassalpha"]
        ),
        grey(
            np.asarray(Image.composite(Image.fromarray(GREY), Image.new("L", cat().size, 255), Image.fromarray(ALPHA)))
        ),
    ),
    "alpha": (
        lambda path: tifffile.imwrite(path, np.dstack([RGB, ALPHA]), photometric="rgb", extrasamples=["unassalpha"]),
        np.asarray(Image.composite(cat(), Image.new("RGB", cat().size, "white"), Image.fromarray(ALPHA)), float),
    ),
    "deep alpha": (
        lambda path: tifffile.imwrite(
            path, spread(np.dstack([RGB, ALPHA]), "u2"), photometric="rgb", extrasamples=["unassalpha"]
        ),
        np.asarray(Image.composite(cat(), Image.new("RGB", cat().size, "white"), Image.fromarray(ALPHA)), float),
    ),
    "alpha multiplied in": (
        lambda path: tifffile.imwrite(
            path,
            np.dstack([(RGB * (ALPHA[..., None] / 255)).round().astype(np.uint8), ALPHA]),
            photometric="rgb",
            extrasamples=["assocalpha"],
        ),
        np.asarray(Image.composite(cat(), Image.new("RGB", cat().size, "white"), Image.fromarray(ALPHA)), float),
    ),
    "floating alpha multiplied in": (
        lambda path: tifffile.imwrite(
            path,
            np.dstack([RGB * (ALPHA[..., None] / 255), ALPHA]).astype(np.float32) / 255,
            photometric="rgb",
            extrasamples=["assocalpha"],
        ),
        np.asarray(Image.composite(cat(), Image.new("RGB", cat().size, "white"), Image.fromarray(ALPHA)), float),
    ),
    "a channel beside the colours": (
        lambda path: tifffile.imwrite(path, np.dstack([RGB, ALPHA]), photometric="rgb", extrasamples=["unspecified"]),
        RGB,
    ),
    "a deep channel beside the colours": (
        lambda path: tifffile.imwrite(
            path, spread(np.dstack([RGB, ALPHA]), "u2"), photometric="rgb", extrasamples=["unspecified"]
        ),
        RGB,
    ),
    "inks": (lambda path: cat().convert("CMYK").save(path), RGB),
    "inks in planes": (
        lambda path: tifffile.imwrite(
            path,
            np.moveaxis(np.asarray(cat().convert("CMYK")), -1, 0),
            photometric="separated",
            planarconfig="separate",
        ),
        RGB,
    ),
    "deep inks": (
        lambda path: tifffile.imwrite(path, spread(np.asarray(cat().convert("CMYK")), "u2"), photometric="separated"),
        RGB,
    ),
    "one bit": (lambda path: cat().convert("1").save(path), np.asarray(cat().convert("1").convert("RGB"), float)),
    "palette": (lambda path: cat().quantize(200).save(path), np.asarray(cat().quantize(200).convert("RGB"), float)),
    "deep palette": (
        lambda path: tifffile.imwrite(
            path,
            np.asarray(cat().quantize(200)).astype(np.uint16),
            photometric="palette",
            colormap=np.pad(
                np.asarray(cat().quantize(200).getpalette(), np.uint16).reshape(-1, 3).T * 257,
                ((0, 0), (0, 65536 - 200)),
            ),
        ),
        np.asarray(cat().quantize(200).convert("RGB"), float),
    ),
    "JPEG inside": (lambda path: cat().save(path, compression="jpeg", quality=95), RGB),
    "Lab": (
        lambda path: ImageCms.profileToProfile(
            cat(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        ).save(path),
        RGB,
    ),
    "larger than four gigabytes could be": (
        lambda path: tifffile.imwrite(path, RGB, photometric="rgb", bigtiff=True),
        RGB,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_samples_of_any_layout_show_the_photo(layout: str, tmp_path: Path) -> None:
    write, truth = LAYOUTS[layout]
    write(tmp_path / "a.tif")
    assert_shows(tmp_path / "a.tif", truth, within=3)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("photometric", [0, 1])
def test_few_bits_show_the_photo_also_where_white_is_zero(bits: int, photometric: int, tmp_path: Path) -> None:
    """Written by hand: neither Pillow nor tifffile writes them."""
    few = GREY >> (8 - bits)
    stored = few if photometric else (1 << bits) - 1 - few
    rows = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :].ravel()) for row in stored]
    data = b"".join(row.tobytes() for row in rows)
    tags = ((256, GREY.shape[1]), (257, len(GREY)), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1))
    tags += ((278, len(GREY)), (279, len(data)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)
    assert_shows(tmp_path / "a.tif", grey(few.astype(float) * 255 / ((1 << bits) - 1)))


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("flag", [1, 4, 5], ids=["preview", "mask", "mask of a preview"])
def test_the_photo_is_the_first_page_that_is_no_preview(flag: int, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((8, 8), bool), photometric="minisblack", subfiletype=flag)
        file.write(spread(RGB, kind), photometric="rgb")
    assert open_photo(path).size == cat().size
    assert_shows(path, RGB)


def test_the_photo_may_lie_below_its_preview(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((8, 8), np.uint8), photometric="minisblack", subfiletype=1, subifds=1)
        file.write(RGB, photometric="rgb")
    assert_shows(path, RGB)


def test_smaller_copies_behind_the_photo_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(RGB, photometric="rgb")
        file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1)
    assert_shows(path, RGB)


def test_a_kind_that_is_not_read_is_refused_by_its_name(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        spread(GREY, "u2"),
        photometric="cfa",
        extratags=[(33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True)],
    )
    with pytest.raises(SourceError, match="TIFF of kind CFA"):
        shown(tmp_path / "a.tif")


def test_a_compression_that_is_not_read_is_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, spread(GREY, "f4"), photometric="minisblack")

    def asarray(_page: object) -> None:
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr("tifffile.TiffPage.asarray", asarray)
    with pytest.raises(SourceError, match=r"compressed by LZW: `pip install 'descry\[formats\]'`"):
        shown(path)


def test_a_deep_tiff_is_prepared_turned_and_knows_its_size_without_being_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    turned = np.rot90(spread(RGB, "u4"))
    tifffile.imwrite(path, turned, photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    photo = open_photo(path)
    assert photo.size == turned.shape[1::-1]
    assert_shows(path, RGB)
    assert Preprocessing(64, (0.5,) * 3, (0.5,) * 3).prepare(open_photo(path)).shape == (3, 64, 64)


def test_numbers_become_bytes_by_the_bits_that_they_use() -> None:
    assert eight_bits(np.array([0, 4095], np.uint32)).tolist() == [0, 255]
    assert eight_bits(np.array([0, 2**31, 2**32 - 1], np.uint32)).tolist() == [0, 128, 255]
    assert eight_bits(np.array([-32768, 0, 32767], np.int16)).tolist() == [0, 128, 255]
    assert eight_bits(np.array([0, 0.5, 1], np.float32)).tolist() == [0, 128, 255]
    assert eight_bits(np.array([0, 2, 4], np.float64)).tolist() == [0, 128, 255]
    assert eight_bits(np.array([np.nan, 1, np.inf, -np.inf], np.float32)).tolist() == [0, 255, 0, 0]
    assert eight_bits(np.zeros(3, np.int32)).tolist() == [0, 0, 0]

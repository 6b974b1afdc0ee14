"""Photos in every format against plain decoding, and the facts that they carry."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from make_bad_files import BAD_FILES
from make_photos import CAT, PHOTOS, SIZE, cat, over_white
from PIL import Image, ImageOps

from indexer.errors import SourceError
from indexer.photos.facts import photo_facts
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from indexer.photos.recipe import ImageRecipe
from indexer.photos.suffixes import SUFFIXES

LOSSLESS = (".png", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
RECIPES = {
    "shortest": ImageRecipe(224, (0.5,) * 3, (0.5,) * 3),
    "longest": ImageRecipe(224, (0.5,) * 3, (0.5,) * 3, mode="longest", fill=128),
    "squash": ImageRecipe(224, (0.5,) * 3, (0.5,) * 3, mode="squash", interpolation="bilinear"),
}


def expected(name: str) -> np.ndarray:
    """The cat as that file has to look, `[h, w, 3]`."""
    picture = cat()
    if "grey" in name:
        picture = picture.convert("L").convert("RGB")
    if "one_bit" in name:
        picture = picture.convert("1").convert("RGB")
    if any(word in name for word in ("alpha", "clear", "rgba")):
        picture = over_white(picture)
    return np.asarray(picture, dtype=float)


@pytest.mark.parametrize("name", PHOTOS)
def test_every_format_shows_the_cat_upright_over_white(name: str, tmp_path: Path) -> None:
    PHOTOS[name](cat(), tmp_path / name)

    pixels = np.asarray(upright_rgb(open_photo(tmp_path / name)), dtype=float)

    truth = expected(name)
    assert pixels.shape == truth.shape
    is_exact = name.lower().endswith(LOSSLESS) and "palette" not in name
    assert np.abs(pixels - truth).mean() < (0.01 if is_exact else 16 if name == "palette.png" else 3)
    assert np.abs(pixels.mean(axis=(0, 1)) - truth.mean(axis=(0, 1))).max() < 0.5


@pytest.mark.parametrize("name", PHOTOS)
def test_width_and_height_are_those_of_the_upright_photo(name: str, tmp_path: Path) -> None:
    PHOTOS[name](cat(), tmp_path / name)
    facts = photo_facts(open_photo(tmp_path / name))
    assert (facts["width"], facts["height"]) == SIZE


def enlarged(path: Path, megapixels: float, folder: Path) -> Path:
    """A demo photo as a JPEG of that many megapixels."""
    with Image.open(path) as photo:
        factor = math.sqrt(megapixels * 1e6 / (photo.width * photo.height))
        size = round(photo.width * factor), round(photo.height * factor)
        large = photo.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    large.save(folder / f"{megapixels}-{path.name}", quality=90)
    return folder / f"{megapixels}-{path.name}"


def plainly(path: Path, recipe: ImageRecipe) -> np.ndarray:
    """The slow truth: all pixels decoded, then resized and cut or padded as the words say. `[3, size, size]`."""
    with Image.open(path) as photo:
        photo = ImageOps.exif_transpose(photo).convert("RGB")
    size, method = (recipe.size, recipe.size), getattr(Image.Resampling, recipe.interpolation.upper())
    if recipe.mode == "squash":
        square = photo.resize(size, method)
    elif recipe.mode == "shortest":
        scaled = tuple(recipe.size * side // min(photo.size) for side in photo.size)
        left, top = (round((side - recipe.size) / 2) for side in scaled)
        square = photo.resize(scaled, method).crop((left, top, left + recipe.size, top + recipe.size))
    else:
        square = ImageOps.pad(photo, size, method, color=(recipe.fill,) * 3)
    return np.asarray(square).transpose(2, 0, 1)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of two tensors as a model sees them, scaled to -1..1."""
    one, other = (values.astype(float).ravel() / 127.5 - 1 for values in (one, other))
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("mode", RECIPES)
@pytest.mark.parametrize("photo", [CAT, CAT.with_name("grass.jpg"), CAT.with_name("page.jpg")], ids=lambda p: p.stem)
def test_the_prepared_photo_is_that_of_plain_decoding(photo: Path, mode: str, tmp_path: Path) -> None:
    recipe = RECIPES[mode]
    for path in (photo, enlarged(photo, 2, tmp_path)):
        prepared = recipe.prepare(open_photo(path))
        assert prepared.shape == (3, 224, 224)
        assert prepared.dtype == np.uint8
        assert cosine(prepared, plainly(path, recipe)) > 0.999


def test_a_photo_of_twelve_megapixels_is_prepared_like_plain_decoding(tmp_path: Path) -> None:
    path = enlarged(CAT.with_name("motorcycle.jpg"), 12, tmp_path)
    for recipe in RECIPES.values():
        assert cosine(recipe.prepare(open_photo(path)), plainly(path, recipe)) > 0.999


@pytest.mark.parametrize("mode", RECIPES)
@pytest.mark.parametrize("size", [(1, 1), (1, 60000), (60000, 1), (225, 224), (5, 7)])
def test_any_shape_becomes_the_square_that_the_model_wants(size: tuple[int, int], mode: str, tmp_path: Path) -> None:
    Image.new("RGB", size, "orange").save(tmp_path / "odd.png")
    prepared = RECIPES[mode].prepare(open_photo(tmp_path / "odd.png"))
    assert prepared.shape == (3, 224, 224)
    if mode != "longest":
        assert (prepared == np.array([255, 165, 0]).reshape(3, 1, 1)).all()


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    bomb = BAD_FILES["decompression_bomb"](tmp_path)
    assert bomb is not None
    with pytest.raises(SourceError, match="900 megapixels, the limit is 250; --max-megapixels raises it"):
        open_photo(bomb.path)
    assert open_photo(bomb.path, max_pixels=900_000_000).size == (30000, 30000)


def test_the_limit_itself_is_allowed(tmp_path: Path) -> None:
    cat().save(tmp_path / "cat.png")
    assert open_photo(tmp_path / "cat.png", max_pixels=160 * 106)
    with pytest.raises(SourceError):
        open_photo(tmp_path / "cat.png", max_pixels=160 * 106 - 1)


@pytest.mark.parametrize("name", [name for name in BAD_FILES if name.split("_")[0] not in ("unreadable", "zeros")])
def test_what_is_no_photo_says_why_as_a_source_error(name: str, tmp_path: Path) -> None:
    bad = BAD_FILES[name](tmp_path)
    if bad is None or bad.path.suffix not in SUFFIXES or bad.reason == "utf-8":
        return
    with pytest.raises(SourceError) as error:
        upright_rgb(open_photo(bad.path))
    assert bad.reason in str(error.value).lower()


def test_deep_grey_and_float_photos_are_scaled_to_what_can_be_seen(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (16, 1))
    Image.fromarray(ramp).save(tmp_path / "float.tif")
    Image.fromarray((ramp * 65535).astype(np.uint16)).save(tmp_path / "sixteen.tif")
    Image.fromarray((ramp * 2**31).astype(np.int64).clip(0, 2**31 - 1).astype(np.int32)).save(tmp_path / "long.tif")
    for name in ("float.tif", "sixteen.tif", "long.tif"):
        pixels = np.asarray(upright_rgb(open_photo(tmp_path / name)))
        assert np.abs(pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1, name


def test_a_jpeg_is_not_decoded_smaller_than_twice_the_target(tmp_path: Path) -> None:
    path = enlarged(CAT, 2, tmp_path)
    for side in (100, 224, 400):
        assert min(upright_rgb(open_photo(path), side=side).size) >= 2 * side
    assert upright_rgb(open_photo(path), side=100).size < upright_rgb(open_photo(path)).size


def test_the_middle_of_a_panorama_is_what_is_seen(tmp_path: Path) -> None:
    panorama = Image.new("RGB", (1000, 100), "red")
    panorama.paste("blue", (450, 0, 550, 100))
    panorama.save(tmp_path / "panorama.png")
    prepared = RECIPES["shortest"].prepare(open_photo(tmp_path / "panorama.png"))
    assert (prepared[:, :, 2:-2] == np.array([0, 0, 255]).reshape(3, 1, 1)).all()


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
    for recipe in RECIPES.values():
        assert recipe.prepare(open_photo(path)).shape == (3, 224, 224)


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


def test_a_jpeg_xl_is_seen(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl", reason="JPEG XL comes with descry[formats]")
    cat().save(tmp_path / "a.jxl", quality=95)
    assert ".jxl" in SUFFIXES
    seen = np.asarray(upright_rgb(open_photo(tmp_path / "a.jxl")), int)
    assert np.abs(seen - np.asarray(cat())).mean() < 3


def test_a_format_whose_reader_is_not_installed_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    monkeypatch.setitem(sys.modules, "rawpy", None)
    for name, content in (("a.jxl", b"\xff\x0a" + bytes(20)), ("a.nef", b"II*\0" + bytes(20))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceError, match=r"pip install 'descry\[formats\]'"):
            open_photo(tmp_path / name)


def test_of_an_animation_the_first_frame_is_seen(tmp_path: Path) -> None:
    black = Image.new("RGB", SIZE)
    for name in ("a.png", "a.webp", "a.gif", "a.avif"):
        options = {"lossless": True} if name == "a.webp" else {}
        cat().save(tmp_path / name, save_all=True, append_images=[black, black], duration=100, **options)
        seen = np.asarray(upright_rgb(open_photo(tmp_path / name)), int)
        assert np.abs(seen - np.asarray(cat())).mean() < 16, name


def test_of_several_photos_in_a_file_the_first_is_seen(tmp_path: Path) -> None:
    cat().save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[Image.new("RGB", SIZE)], quality=95)
    assert np.abs(np.asarray(upright_rgb(open_photo(tmp_path / "a.jpg")), int) - np.asarray(cat())).mean() < 3
    cat().save(tmp_path / "a.heic", save_all=True, append_images=[Image.new("RGB", SIZE)], quality=90)
    assert np.abs(np.asarray(upright_rgb(open_photo(tmp_path / "a.heic")), int) - np.asarray(cat())).mean() < 5


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    cat().save(path, progressive=True)
    content = path.read_bytes()
    assert upright_rgb(open_photo(path)).size == SIZE
    last = content.rindex(b"\xff\xda")
    path.write_bytes(content[:last] + content[last:-2] * 200 + content[-2:])
    with pytest.raises(SourceError, match="scans"):
        open_photo(path)

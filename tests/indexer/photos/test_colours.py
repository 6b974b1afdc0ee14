"""Photos whose ICC profile says that their numbers are other colours than sRGB's."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from make_photos import cat
from PIL import Image, ImageCms

from indexer.encoders.resizing import TorchPreprocessing
from indexer.photos import colours
from indexer.photos.colours import srgb, srgb_pixels
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from indexer.photos.preprocessing import Preprocessing

# Primaries as XYZ under D50, as profiles have them: Lindbloom's for Adobe RGB, ProPhoto and sRGB, Apple's for P3.
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71187, 0.0), (0.03135, 0.00009, 0.82521))
P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
SWAPPED = (SRGB[1], SRGB[2], SRGB[0])


def _profile(space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2 around its tags; `space` names the colours of its numbers."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"x\0",
    } | tags
    tags[b"wtpt"] = _xyz((0.9642, 1.0, 0.8249))
    place, table, data = 132 + 12 * len(tags), b"", b""
    for name, body in tags.items():
        body += bytes(-len(body) % 4)
        table += name + struct.pack(">II", place + len(data), len(body))
        data += body
    size = place + len(data)
    header = (
        struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"mntr", space, pcs) + bytes(12) + b"acsp" + bytes(28)
    )
    header += struct.pack(">iii", *(round(part * 65536) for part in (0.9642, 1.0, 0.8249)))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def _xyz(parts: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(part * 65536) for part in parts))


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(primaries: tuple[tuple[float, float, float], ...], gamma: float, *, private: bytes = b"") -> bytes:
    """A profile of RGB with those primaries and that power; `private` is what else its maker put into it."""
    tags = {f"{channel}XYZ".encode(): _xyz(primary) for channel, primary in zip("rgb", primaries, strict=True)}
    tags |= {f"{channel}TRC".encode(): _curve(gamma) for channel in "rgb"}
    return _profile(b"RGB ", b"XYZ ", tags | ({b"priv": b"data" + bytes(4) + private} if private else {}))


def grey_profile(gamma: float) -> bytes:
    """A profile of grey with that power."""
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def ink_profile() -> bytes:
    """A profile of four inks, of which each takes its own: cyan prints what magenta is said to, and so around."""
    corners = np.array([[c, m, y, k] for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)])
    rgb = np.round(255 * (1 - corners[:, [1, 2, 0]]) * (1 - corners[:, 3:])).astype(np.uint8)
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = np.asarray(ImageCms.applyTransform(Image.fromarray(rgb[np.newaxis]), to_lab))[0]
    stored = lab ^ np.array([0, 128, 128], np.uint8)  # Pillow's a and b are signed, a table's are not
    straight = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (place % 4 == 0) for place in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + straight * 4 + stored.tobytes() + straight * 3
    return _profile(b"CMYK", b"Lab ", {b"A2B0": table})


RGB_PROFILES = {
    "Adobe RGB": rgb_profile(ADOBE, 2.2),
    "ProPhoto": rgb_profile(PROPHOTO, 1.8),
    "Display P3": rgb_profile(P3, 2.2),
    "swapped channels": rgb_profile(SWAPPED, 2.2),
    "linear light": rgb_profile(SRGB, 1.0),
}


def in_colours_of(profile: bytes, mode: str = "RGB") -> Image.Image:
    """The cat in the numbers of that profile."""
    source, target = ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(BytesIO(profile))
    return ImageCms.profileToProfile(cat(), source, target, outputMode=mode)


def off(image: Image.Image, truth: Image.Image) -> float:
    """By how many of 255 steps two images differ."""
    return float(np.abs(np.asarray(image.convert("RGB"), float) - np.asarray(truth.convert("RGB"), float)).mean())


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif", "heic"])
@pytest.mark.parametrize("name", RGB_PROFILES)
def test_a_photo_in_other_colours_is_seen_as_it_was_meant(name: str, suffix: str, tmp_path: Path) -> None:
    path, profile = tmp_path / f"a.{suffix}", RGB_PROFILES[name]
    stored = in_colours_of(profile)
    stored.save(path, icc_profile=profile, quality=95)
    assert off(upright_rgb(open_photo(path)), cat()) < (4 if name != "linear light" else 6)
    assert off(stored, cat()) > 4  # so it would be seen otherwise


@pytest.mark.parametrize("name", RGB_PROFILES)
def test_the_fast_path_of_jpegs_sees_the_same(name: str, tmp_path: Path) -> None:
    path, profile = tmp_path / "a.jpg", RGB_PROFILES[name]
    exif = Image.Exif()
    exif[0x0112] = 6
    in_colours_of(profile).rotate(90, expand=True).save(path, icc_profile=profile, quality=95, exif=exif)
    recipe = Preprocessing(64, (0.5,) * 3, (0.5,) * 3, interpolation="bilinear")
    slow, fast = (made.prepare(open_photo(path)).astype(int) for made in (recipe, TorchPreprocessing.of(recipe)))
    assert np.abs(slow - fast).mean() < 2
    cat().save(path, quality=95)
    assert np.abs(fast - recipe.prepare(open_photo(path))).mean() < 6


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("gamma", [1.0, 3.5])
def test_grey_by_its_profile(gamma: float, suffix: str, tmp_path: Path) -> None:
    path, profile = tmp_path / f"a.{suffix}", grey_profile(gamma)
    linear = (np.asarray(cat().convert("L")) / 255) ** 2.2
    stored = Image.fromarray(np.round(255 * linear ** (1 / gamma)).astype(np.uint8))
    stored.save(path, icc_profile=profile, quality=95)
    assert off(upright_rgb(open_photo(path)), cat().convert("L")) < 4
    recipe = TorchPreprocessing(64, (0.5,) * 3, (0.5,) * 3)
    plain = recipe.prepare(open_photo(path)).astype(int)
    cat().convert("L").save(path, quality=95)
    assert np.abs(plain - recipe.prepare(open_photo(path))).mean() < 5


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_inks_by_their_profile(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    for inks, colour in (((255, 0, 0, 0), (255, 255, 0)), ((0, 255, 0, 0), (0, 255, 255)), ((0, 0, 0, 0), (255,) * 3)):
        Image.new("CMYK", (16, 16), inks).save(path, icc_profile=ink_profile(), quality=100)
        pixels = np.asarray(upright_rgb(open_photo(path)), int)
        assert np.abs(pixels - colour).max() < 12, (inks, pixels[0, 0])


def test_transparent_parts_are_white_whatever_the_profile(tmp_path: Path) -> None:
    profile = RGB_PROFILES["swapped channels"]
    stored = in_colours_of(profile)
    stored.putalpha(Image.new("L", stored.size, 0))
    stored.paste((0, 0, 0, 255), (0, 0, 80, 106))
    stored.paste(in_colours_of(profile).crop((0, 0, 80, 106)), (0, 0))
    stored.save(tmp_path / "a.png", icc_profile=profile)
    seen = upright_rgb(open_photo(tmp_path / "a.png"))
    assert off(seen.crop((0, 0, 80, 106)), cat().crop((0, 0, 80, 106))) < 4
    assert np.asarray(seen.crop((80, 0, 160, 106))).min() == 255


def test_a_photo_that_is_srgb_is_not_converted() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert colours._transform(profile, "RGB") is None
    image = cat()
    image.info["icc_profile"] = profile
    assert srgb(image) is image
    pixels = np.asarray(cat())
    assert srgb_pixels(pixels, image) is pixels


@pytest.mark.parametrize(
    "profile", [b"", b"nonsense", RGB_PROFILES["Adobe RGB"][:200], grey_profile(2.0), ink_profile()], ids=range(5)
)
def test_a_profile_that_is_broken_or_of_other_colours_costs_no_photo(profile: bytes) -> None:
    image = cat()
    image.info["icc_profile"] = profile
    assert off(srgb(image), cat()) == 0


def test_a_profile_of_more_than_a_megabyte_is_no_reason_to_refuse_a_png(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8).tobytes()
    profile = rgb_profile(SWAPPED, 2.2, private=noise)
    in_colours_of(profile).save(tmp_path / "a.png", icc_profile=profile)
    assert off(upright_rgb(open_photo(tmp_path / "a.png")), cat()) < 4

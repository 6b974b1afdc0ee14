"""How well copies are told from photos that are only similar: real photos, each changed in one known way.

Every photo of a set gets one changed copy, the kinds of change by turns, and all of them one library; what the set
holds of similar photos are the hard negatives. For bursts, photos of one class are made to look as if they were taken
in a row. What `descry duplicates` would report is then compared with what was done.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, NamedTuple

from PIL import ExifTags, Image, ImageEnhance

from evaluation.datasets import Example
from indexer.encoders import Encoder
from indexer.library import Library
from indexer.pipeline import index_sources
from search.organise.duplicates import BURST, EXACT, NEAR_EXACT, Group, duplicates

# Whatever the seed, the same copies for everybody: figures are compared between versions.
SEED = 0

# When the photos of bursts were taken, an hour from one burst to the next.
FIRST_MOMENT = datetime(2024, 6, 1, 12)


class Saved(NamedTuple):
    """A changed image and how it is to be written."""

    image: Image.Image
    suffix: str = ".jpg"
    options: Mapping[str, Any] = MappingProxyType({"quality": 90})


class Change(NamedTuple):
    """Something that happens to a photo, and what a report should call the outcome."""

    reason: str
    apply: Callable[[Image.Image, Random], Saved]


def _resized(share: float, **options: Any) -> Callable[[Image.Image, Random], Saved]:
    def apply(image: Image.Image, _random: Random) -> Saved:
        size = (round(image.width * share), round(image.height * share))
        return Saved(image.resize(size, Image.Resampling.LANCZOS), options={"quality": 90} | options)

    return apply


def _cropped(share: float, **options: Any) -> Callable[[Image.Image, Random], Saved]:
    def apply(image: Image.Image, random: Random) -> Saved:
        width, height = round(image.width * (1 - share)), round(image.height * (1 - share))
        left, top = random.randint(0, image.width - width), random.randint(0, image.height - height)
        return Saved(image.crop((left, top, left + width, top + height)), options={"quality": 90} | options)

    return apply


def _brighter(factor: float) -> Callable[[Image.Image, Random], Saved]:
    return lambda image, _random: Saved(ImageEnhance.Brightness(image).enhance(factor))


def _written(suffix: str, **options: Any) -> Callable[[Image.Image, Random], Saved]:
    return lambda image, _random: Saved(image, suffix, options)


def _turned(image: Image.Image, _random: Random) -> Saved:
    """Stored lying on its side, with the orientation in the metadata that puts it upright."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return Saved(image.transpose(Image.Transpose.ROTATE_90), options={"quality": 90, "exif": exif})


def _again(image: Image.Image, random: Random) -> Saved:
    """The next frame by a hand that is not quite still: turned by a degree, shifted, a little brighter or darker."""
    turned = image.rotate(random.uniform(-1.5, 1.5), Image.Resampling.BICUBIC)
    brighter = ImageEnhance.Brightness(turned).enhance(random.uniform(0.93, 1.07))
    return _cropped(0.08)(brighter, random)


CHANGES: dict[str, Change] = {
    "resized to a half": Change(NEAR_EXACT, _resized(0.5)),
    "JPEG quality 50": Change(NEAR_EXACT, _written(".jpg", quality=50)),
    "JPEG quality 25": Change(NEAR_EXACT, _written(".jpg", quality=25)),
    "resized to 0.6, quality 50": Change(NEAR_EXACT, _resized(0.6, quality=50)),
    "PNG": Change(NEAR_EXACT, _written(".png")),
    "WebP": Change(NEAR_EXACT, _written(".webp", quality=80)),
    "rotation in the metadata": Change(NEAR_EXACT, _turned),
    "15 % brighter": Change(NEAR_EXACT, _brighter(1.15)),
    "15 % darker": Change(NEAR_EXACT, _brighter(0.85)),
    "cropped by 2 %": Change(NEAR_EXACT, _cropped(0.02)),
    "cropped by 5 %": Change(NEAR_EXACT, _cropped(0.05)),
    "cropped by 5 %, quality 60": Change(NEAR_EXACT, _cropped(0.05, quality=60)),
    "cropped by 10 %": Change(NEAR_EXACT, _cropped(0.10)),
    "a second later": Change(BURST, _again),
}

# No change of the image at all: the file is copied.
COPIED = "copied"


@dataclass(frozen=True, slots=True)
class Truth:
    """What was done: the photo each file was made from, and the change that made it ("" for the photo itself)."""

    origins: dict[Path, str]
    changes: dict[Path, str]

    def is_right(self, best: Path, other: Path, reason: str) -> bool:
        """Whether two files were made from one photo, by a change that has that reason."""
        made = {self.changes[best], self.changes[other]} - {""}
        expected = {EXACT if change == COPIED else CHANGES[change].reason for change in made}
        return self.origins[best] == self.origins[other] and expected == {reason}


def measure(encoder: Encoder, photos: Sequence[Example], in_a_row: Sequence[Example] = ()) -> dict[str, Any]:
    """Precision and recall of the report, by kind of change and over all, on copies of `photos`.

    `in_a_row` are different photos that get the seconds of a burst; those of one label are neighbours in time.
    """
    with TemporaryDirectory() as folder:
        truth = write(photos, in_a_row, Path(folder, "photos"))
        with Library.create(Path(folder, "library"), encoder) as library:
            index_sources(library, [Path(folder, "photos")], encoder)
            started = time.monotonic()
            groups = duplicates(library.catalog)
        seconds = time.monotonic() - started
    return {"photos": len(truth.origins), "seconds": round(seconds, 1), **compared(groups, truth)}


def compared(groups: Sequence[Group], truth: Truth) -> dict[str, Any]:
    """The pairs that a report claims, compared with what was done: `found` and `true` are counted in pairs.

    A change's precision is the share of right ones among the claims about its copies; its recall, the share of its
    copies that were rightly claimed.
    """
    claims = [(group.best.path, copy.item.path, copy.reason) for group in groups for copy in group.others]
    right = [claim for claim in claims if truth.is_right(*claim)]
    made = Counter(change for change in truth.changes.values() if change)
    claimed, rightly = (_by_change(some, truth) for some in (claims, right))
    wrong = [
        f"{reason}: {best.name} {other.name}" for best, other, reason in claims if (best, other, reason) not in right
    ]
    return {
        "all": _measures(len(claims), len(right), sum(made.values())),
        **{change: _measures(claimed[change], rightly[change], made[change]) for change in made},
        "wrong": wrong,
    }


def _by_change(claims: Sequence[tuple[Path, Path, str]], truth: Truth) -> Counter[str]:
    """How many claims there are about copies of each change."""
    return Counter(change for best, other, _ in claims for change in {truth.changes[best], truth.changes[other]} - {""})


def _measures(claimed: int, right: int, made: int) -> dict[str, float]:
    return {"precision": right / claimed if claimed else 0.0, "recall": right / made, "copies": made}


def write(photos: Sequence[Example], in_a_row: Sequence[Example], folder: Path) -> Truth:
    """Writes each photo and a changed copy below `folder`, and the photos in a row with the times of a burst."""
    folder.mkdir()
    truth = Truth({}, {})
    kinds = [*CHANGES, COPIED]
    for number, example in enumerate(photos):
        for path, change in _pair(example, kinds[number % len(kinds)], folder / f"{number:05}", number):
            truth.origins[path], truth.changes[path] = str(number), change
    moments = (FIRST_MOMENT - timedelta(days=1) + timedelta(seconds=second) for second in range(len(in_a_row)))
    ordered = sorted(in_a_row, key=lambda example: example.label)
    for number, (example, moment) in enumerate(zip(ordered, moments, strict=True)):
        path = folder / f"row{number:05}.jpg"
        _save(Saved(example.image().convert("RGB")), path, moment)
        truth.origins[path], truth.changes[path] = f"row {number}", ""
    return truth


def _pair(example: Example, change: str, stem: Path, number: int) -> Iterator[tuple[Path, str]]:
    """Writes a photo and its changed copy; the path of each, and its change."""
    content = example.photo if isinstance(example.photo, bytes) else example.photo.read_bytes()
    image = Image.open(BytesIO(content)).convert("RGB")
    original = stem.with_suffix(".jpg")
    if change != COPIED and CHANGES[change].reason == BURST:
        moment = FIRST_MOMENT + timedelta(hours=number)
        _save(Saved(image), original, moment)
        saved = CHANGES[change].apply(image, Random(f"{SEED} {number}"))
        copy = stem.with_name(f"{stem.name}-copy.jpg")
        _save(saved, copy, moment + timedelta(seconds=1))
    else:
        original.write_bytes(content)
        saved = Saved(image) if change == COPIED else CHANGES[change].apply(image, Random(f"{SEED} {number}"))
        copy = stem.with_name(f"{stem.name}-copy{saved.suffix}")
        copy.write_bytes(content) if change == COPIED else _save(saved, copy)
    yield original, ""
    yield copy, change


def _save(saved: Saved, path: Path, moment: datetime | None = None) -> None:
    options = dict(saved.options)
    if moment is not None:
        exif = Image.Exif()
        exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Acme", "One"
        exif[ExifTags.Base.DateTime] = f"{moment:%Y:%m:%d %H:%M:%S}"
        options["exif"] = exif
    saved.image.save(path, **options)

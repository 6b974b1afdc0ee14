"""Equal files, altered copies and bursts of real photos, told from photos that are only similar."""

import os
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from painting import later
from PIL import ExifTags, Image, ImageOps

from indexer import Encoder, Library, index_sources, shipped
from search.cli import main
from search.commands.organise import KINDS as OFFERED
from search.organise import hashes
from search.organise.duplicates import BURST, EXACT, KINDS, NEAR_EXACT, Group, duplicates

Report = Callable[..., list[tuple[str, dict[str, str]]]]


def photo(name: str) -> Image.Image:
    return Image.open(shipped("photos", f"{name}.jpg")).convert("RGB")


def turned(name: str) -> Image.Image:
    """The next frame by a hand that is not quite still."""
    return photo(name).rotate(3, Image.Resampling.BICUBIC).crop((20, 12, 440, 290))


def taken(picture: Image.Image, path: Path, moment: datetime, camera: str = "Acme One") -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model], exif[ExifTags.Base.DateTime] = camera, f"{moment:%Y:%m:%d %H:%M:%S}"
    picture.save(path, quality=95, exif=exif)


def in_short(groups: list[Group]) -> list[tuple[str, dict[str, str]]]:
    """Each group as the name of its best photo and the names of the others with their reasons."""
    return [(group.best.path.name, {copy.item.path.name: copy.reason for copy in group.others}) for group in groups]


@pytest.fixture
def report(library: Library, encoder: Encoder, photos: Path) -> Report:
    """Indexes the folder `photos` and tells its duplicates in short."""

    def make(**options: object) -> list[tuple[str, dict[str, str]]]:
        index_sources(library, [photos], encoder)
        return in_short(duplicates(library.catalog, **options))

    return make


def test_equal_files_are_exact_duplicates_and_the_oldest_is_the_best(photos: Path, report: Report) -> None:
    for number, name in enumerate(("c.jpg", "a.jpg", "b.jpg")):
        shutil.copy(shipped("photos", "cat.jpg"), photos / name)
        os.utime(photos / name, (1e9 + number, 1e9 + number))
    assert report() == [("c.jpg", {"a.jpg": EXACT, "b.jpg": EXACT})]


def test_altered_copies_are_found_and_the_largest_is_the_best(photos: Path, library: Library, report: Report) -> None:
    cat = photo("cat")
    cat.save(photos / "cat.png")
    cat.resize((225, 150)).save(photos / "small.jpg")
    cat.save(photos / "cat.webp", quality=60)
    cat.crop((10, 8, 440, 290)).save(photos / "cropped.jpg")
    assert report() == [("cat.png", dict.fromkeys(["cat.webp", "cropped.jpg", "small.jpg"], NEAR_EXACT))]
    (group,) = duplicates(library.catalog)
    assert {copy.item.path.name: copy.detail for copy in group.others} == {
        "small.jpg": "resized to 225 x 150",
        "cat.webp": "other format",
        "cropped.jpg": "cropped",
    }


def test_a_photo_turned_by_its_metadata_is_a_copy(photos: Path, report: Report) -> None:
    photo("cat").save(photos / "cat.png")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    photo("cat").transpose(Image.Transpose.ROTATE_90).save(photos / "lying.jpg", exif=exif)
    assert report() == [("cat.png", {"lying.jpg": NEAR_EXACT})]


def test_photos_that_are_one_point_to_the_encoder_are_no_copies(photos: Path, report: Report) -> None:
    photo("coffee").save(photos / "coffee.png")
    ImageOps.flip(photo("coffee")).save(photos / "upside-down.png")  # the same mean colour
    assert report() == []


def test_of_sixteen_different_photos_none_are_duplicates(photos: Path, report: Report) -> None:
    shutil.copytree(shipped("photos"), photos, dirs_exist_ok=True)
    assert report() == []


def test_copies_of_copies_and_equal_files_are_one_group(photos: Path, report: Report) -> None:
    rocket = photo("rocket")
    rocket.save(photos / "rocket.png")
    shutil.copy(photos / "rocket.png", photos / "zz.png")
    later(photos / "zz.png", 5)
    rocket.resize((320, 214)).save(photos / "half.jpg")
    shutil.copy(photos / "half.jpg", photos / "half again.jpg")
    later(photos / "half again.jpg", 5)
    expected = {"zz.png": EXACT, "half.jpg": NEAR_EXACT, "half again.jpg": NEAR_EXACT}
    assert report() == [("rocket.png", expected)]
    assert report(kinds=[EXACT]) == [("half.jpg", {"half again.jpg": EXACT}), ("rocket.png", {"zz.png": EXACT})]


NOON = datetime(2024, 6, 1, 12)


@pytest.mark.parametrize(
    ("seconds", "camera", "name", "found"),
    [
        (1, "Acme One", "cat", True),
        (60, "Acme One", "cat", False),
        (1, "Acme Two", "cat", False),
        (1, "Acme One", "green", False),
    ],
)
def test_a_burst_is_one_scene_by_one_camera_within_seconds(
    seconds: int, camera: str, name: str, found: bool, photos: Path, report: Report
) -> None:
    taken(photo("cat"), photos / "first.jpg", NOON)
    moved = Image.new("RGB", (300, 200), name) if name == "green" else turned("cat")
    taken(moved, photos / "next.jpg", NOON + timedelta(seconds=seconds), camera)
    assert report() == ([("first.jpg", {"next.jpg": BURST})] if found else [])


def test_a_copy_of_a_photo_is_no_burst_of_it(photos: Path, report: Report) -> None:
    taken(photo("cat"), photos / "cat.jpg", NOON)
    taken(photo("cat").resize((200, 133)), photos / "small.jpg", NOON)
    assert report() == [("cat.jpg", {"small.jpg": NEAR_EXACT})]


def test_a_file_under_two_names_is_no_duplicate(photos: Path, report: Report) -> None:
    shutil.copy(shipped("photos", "cat.jpg"), photos / "m.jpg")
    (photos / "a.jpg").symlink_to(photos / "m.jpg")
    os.link(photos / "m.jpg", photos / "z.jpg")
    assert report() == []
    shutil.copy(photos / "m.jpg", photos / "real.jpg")
    later(photos / "real.jpg", 5)
    assert report() == [("m.jpg", {"real.jpg": EXACT})]


def test_what_is_no_longer_as_it_was_indexed_is_left_out(photos: Path, library: Library, report: Report) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shutil.copy(shipped("photos", "cat.jpg"), photos / name)
        later(photos / name, 5 * ord(name[0]))
    assert report() == [("a.jpg", {"b.jpg": EXACT, "c.jpg": EXACT})]
    (photos / "a.jpg").unlink()
    assert in_short(duplicates(library.catalog)) == [("b.jpg", {"c.jpg": EXACT})]
    later(photos / "c.jpg")
    assert duplicates(library.catalog) == []


def test_an_unreadable_suspect_is_left_out(photos: Path, report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    photo("cat").save(photos / "cat.png")
    photo("cat").save(photos / "cat.jpg")
    monkeypatch.setattr(hashes, "hash_all", lambda paths: iter([None] * len(paths)))
    assert report() == []


def test_a_library_without_photos_has_no_duplicates(report: Report) -> None:
    assert report() == []


def descry(library: Library, *arguments: str) -> tuple[str, str]:
    done = CliRunner().invoke(main, ["--library", str(library.path), "duplicates", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


@pytest.fixture
def shots(library: Library, encoder: Encoder, photos: Path) -> Path:
    """A photo, a small copy of it and the next of a burst, indexed."""
    taken(photo("cat"), photos / "cat.jpg", NOON)
    photo("cat").resize((225, 150)).save(photos / "small.jpg")
    taken(turned("cat"), photos / "next.jpg", NOON + timedelta(seconds=1))
    index_sources(library, [photos], encoder)
    return photos


@pytest.mark.usefixtures("shots")
def test_the_command_tells_the_groups_and_their_reasons(library: Library) -> None:
    table, note = descry(library)
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [
        ["1", "best"],
        ["1", "near-exact"],
        ["2", "best"],
        ["2", "burst"],
    ]
    assert "resized to 225 x 150" in table
    assert "2 groups" in note
    assert "Nothing was changed" in note


def test_only_superfluous_copies_are_printed_as_paths_and_bursts_when_asked_for(library: Library, shots: Path) -> None:
    assert descry(library, "--format", "paths")[0].split() == [str(shots / "small.jpg")]
    assert descry(library, "--format", "paths", "--kind", "burst")[0].split() == [str(shots / "next.jpg")]
    assert descry(library, "--format", "paths", "--kind", "exact")[0] == ""


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_programs_get_a_row_a_photo(form: str, library: Library, shots: Path) -> None:
    import csv
    import json

    text = descry(library, "--format", form, "--kind", "near-exact")[0]
    readers = {"json": json.loads, "jsonl": lambda text: [json.loads(line) for line in text.splitlines()]}
    rows = readers[form](text) if form in readers else list(csv.DictReader(text.splitlines()))
    assert [(row["reason"], row["path"]) for row in rows] == [
        ("best", str(shots / "cat.jpg")),
        ("near-exact", str(shots / "small.jpg")),
    ]


def test_nothing_is_changed(library: Library, shots: Path) -> None:
    def state() -> list[tuple[str, bytes, int]]:
        return [(file.name, file.read_bytes(), file.stat().st_mtime_ns) for file in sorted(shots.iterdir())]

    before, revision = state(), library.catalog.revision
    descry(library)
    assert (state(), library.catalog.revision) == (before, revision)


def test_the_kinds_that_are_offered_are_those_there_are() -> None:
    assert OFFERED == KINDS


def test_only_what_filters_let_through_is_compared(library: Library, encoder: Encoder, shots: Path) -> None:
    shutil.copy(shots / "cat.jpg", shots / "again.jpg")
    later(shots / "again.jpg", 5)
    index_sources(library, [shots], encoder)
    assert descry(library, "--path", "s*")[0] == "nothing to report\n"
    assert descry(library, "--path", "*a*.jpg", "--format", "paths")[0].split() == [
        str(shots / "again.jpg"),
        str(shots / "small.jpg"),
    ]
    assert descry(library, "--not", "path=small.jpg", "--format", "paths")[0].split() == [str(shots / "again.jpg")]


def test_a_photo_is_read_once_for_its_hashes(
    library: Library, encoder: Encoder, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    hash_all = hashes.hash_all
    monkeypatch.setattr(hashes, "hash_all", lambda paths: read.extend(paths) or hash_all(paths))
    first = descry(library)[0]
    assert {path.name for path in read} == {"cat.jpg", "small.jpg", "next.jpg"}
    assert len(read) == 3
    assert descry(library)[0] == first
    assert len(read) == 3
    kept = library.path / hashes.CACHE
    for damaged in (b"", kept.read_bytes()[:-1], kept.read_bytes()[:-1] + b"x", b"x" + kept.read_bytes()[1:]):
        kept.write_bytes(damaged)
        assert descry(library)[0] == first
    assert len(read) == 3 + 4 * 3
    photo("coffee").save(shots / "small.jpg")  # a new photo is a new item
    index_sources(library, [shots], encoder)
    assert "small.jpg" not in descry(library)[0]


def test_a_page_shows_the_groups_side_by_side_whatever_files_are_called(
    library: Library, encoder: Encoder, shots: Path
) -> None:
    (shots / "small.jpg").rename(shots / "<img src=x onerror=alert(1)>.jpg")
    index_sources(library, [shots], encoder)
    page = shots.parent / "page.html"
    assert "page.html shows 2 groups" in descry(library, "--html", str(page))[1]
    text = page.read_text(encoding="utf-8")
    assert text.count("<figure") == 4
    assert text.count('class="best"') == 2
    assert "resized to 225 x 150" in text
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;.jpg" in text
    wrong = CliRunner().invoke(main, ["--library", str(library.path), "duplicates", "--html", "page.png"])
    assert (wrong.exit_code, wrong.stdout) == (2, "")

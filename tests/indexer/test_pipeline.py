"""Indexing: what is read, what is recognised without being read, and what goes."""

import itertools
import json
import os
import random
import shutil
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_bad_files import BAD_FILES, ODD_FILES, Bad
from make_photos import write_all
from painting import WatchedEncoder, held, later, names, paint, paint_many, shade
from PIL import Image

import indexer.pipeline
from indexer import Encoder, Library, Watcher, index_sources
from indexer.errors import EncoderMismatch, PathError, SourceError
from indexer.modalities import MODALITIES
from indexer.modalities.image import IMAGE
from indexer.photos.memory import BUDGET
from indexer.photos.opening import open_photo
from indexer.storage.files import Failure
from indexer.storage.full_text import match_word
from indexer.testing import PictureColors, WordColors, color_encoder


@pytest.fixture
def run(library: Library, watched: WatchedEncoder):
    """Indexes paths and checks what must be true after every run."""

    def index(*paths: Path, **options):
        report = index_sources(library, paths, watched.encoder, **options)
        assert_consistent(library)
        return report

    return index


def assert_consistent(library: Library) -> None:
    """The indexes hold exactly the catalog's vectors, and every item has one."""
    for modality in ("image", "text"):
        rows = library.catalog.connection.execute(
            "SELECT items.id, vectors.id FROM items LEFT JOIN vectors USING (id) WHERE items.modality = ?", (modality,)
        ).fetchall()
        index = library.index(modality)
        _, ids = index.search(np.ones((1, 4), np.float32), max(1, len(index)))
        assert sorted(ids[0][ids[0] >= 0]) == sorted(id for id, _ in rows)
        assert len(index) == len(rows)
        assert all(vector is not None for _, vector in rows)
        stored = library.catalog.stored.read(np.array([id for id, _ in rows], np.int64))
        np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1, atol=2e-3)


def ids_in(library: Library, folder: Path) -> dict[str, int]:
    """The ids of the photos at or below a folder, by their relative path."""
    return {str(path.relative_to(folder)): id for path, id in held(library).items() if path.is_relative_to(folder)}


# formats and bad input


def test_every_format_is_indexed(library: Library, photos: Path, run) -> None:
    paths = write_all(photos)
    report = run(photos)
    assert report.failures == []
    assert report.embedded + report.copied == len(paths)  # some hold the same bytes under two names
    assert held(library).keys() == set(paths.values())


def test_a_photo_is_found_by_its_colour(library: Library, photos: Path, run, encoder: Encoder) -> None:
    for color in ("red", "green", "blue", "orange"):
        paint(photos / f"{color}.png", (255, 128, 0) if color == "orange" else "lime" if color == "green" else color)
    run(photos)
    for color in ("red", "green", "blue", "orange"):
        scores, ids = library.index("image").search(encoder.embed("text", [f"an {color} one"]), 1)
        (item,) = library.catalog.items(ids[0].tolist())
        assert item.path.stem == color
        assert scores[0, 0] == pytest.approx(1, abs=2e-3)


def bad_and_good(folder: Path) -> tuple[list[Bad], list[Path]]:
    """All that is broken, between photos and texts that are not."""
    bad = [made for make in BAD_FILES.values() if (made := make(folder))]
    good = [paint(folder / name, "red") for name in ("0_first.png", "m_between.jpg", "zz_last.bmp")]
    (folder / "good.txt").write_text("a red one")
    return bad, good


def assert_bad_files_are_named(library: Library, folder: Path, index) -> None:
    bad, good = bad_and_good(folder)
    seen: list[Failure] = []
    watcher = Watcher()
    watcher.failed = seen.append  # type: ignore[method-assign]

    report = index(folder, watcher=watcher)

    reasons = {failure.path: failure.reason.lower() for failure in report.failures}
    for made in bad:
        assert made.reason in reasons[made.path]
    assert reasons.keys() == {made.path for made in bad} | {path for path in reasons if path.name == "circle_b.jpg"}
    assert seen == report.failures
    assert held(library).keys() == set(good)
    assert names(library, "text") == {"good.txt"}
    listed = {str(path) for path, _ in library.catalog.files.failures()}
    assert listed == {os.fsencode(path).decode(errors="backslashreplace") for path in reasons}


def test_every_bad_file_is_named_with_its_reason_and_all_else_is_indexed(library: Library, photos: Path, run) -> None:
    assert_bad_files_are_named(library, photos, run)


def test_what_is_closed_is_named_too(unprivileged: Path, watched: WatchedEncoder) -> None:
    folder = unprivileged / "photos"
    folder.mkdir()
    with Library.create(unprivileged / "library", watched.encoder) as library:

        def index(*paths: Path, **options):
            return index_sources(library, paths, watched.encoder, **options)

        assert_bad_files_are_named(library, folder, index)
        assert {"closed", "closed.jpg"} <= {path.name for path, _ in library.catalog.files.failures()}


def test_odd_files_do_no_harm(library: Library, photos: Path, run) -> None:
    for make in ODD_FILES.values():
        make(photos)
    report = run(photos)
    assert report.failures == []
    found = {str(path.relative_to(photos)) for path in held(library)}
    assert found == {"circle/cat.jpg", "folder.jpg/cat.jpg", "without_its_end.jpg"}
    assert [note.path.name for note in report.notes if "incomplete" in note.reason] == ["without_its_end.jpg"]
    assert names(library, "text") == {"utf16.txt", "latin1.txt", "captions.csv"}


def test_a_failed_file_is_not_opened_again_until_it_changes(
    library: Library, photos: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = photos / "bad.jpg"
    bad.write_text("no photo")
    assert len(run(photos).failures) == 1
    monkeypatch.setattr("indexer.chunks.fingerprint", _must_not_be_called)
    second = run(photos)
    assert (second.failures, second.old_failures, second.unchanged) == ([], 1, 0)
    monkeypatch.undo()

    paint(bad)
    later(bad)
    third = run(photos)
    assert (third.embedded, third.old_failures, third.failures) == (1, 0, [])
    assert library.catalog.files.failures() == []


def _must_not_be_called(*_: object) -> None:
    raise AssertionError("an unchanged file was opened")


def test_a_larger_limit_gives_photos_another_chance(photos: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(photos / "a.png")
    monkeypatch.setattr(BUDGET, "pixels", 63)
    assert run(photos).failures[0].reason.startswith("it has 0 megapixels, the limit is 0;")
    assert run(photos).old_failures == 1
    monkeypatch.setattr(BUDGET, "pixels", 64)
    assert run(photos).embedded == 1


@pytest.mark.parametrize("count", [1, 3])
def test_a_file_whose_decoder_hangs_is_skipped_and_tried_again_by_the_next_run(
    count: int, photos: Path, library: Library, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_many(photos, 8)
    hanging, over = sorted(path.name for path in photos.iterdir())[:count], threading.Event()
    plain = PictureColors.prepare

    def prepare(self: PictureColors, image: Image.Image) -> object:
        if Path(image.info["place"]).name in hanging:
            over.wait()
        return plain(self, image)

    def opened(path: Path, **options: Any) -> Image.Image:
        image = open_photo(path, **options)
        image.info["place"] = str(path)
        return image

    monkeypatch.setattr("indexer.modalities.image.open_photo", opened)
    monkeypatch.setattr(PictureColors, "prepare", prepare)
    monkeypatch.setattr("indexer.threads.PATIENCE", 0.3)
    monkeypatch.setattr("indexer.threads.LOOK", 0.01)
    report = run(photos)
    assert (report.embedded, [failure.path.name for failure in report.failures]) == (8 - count, hanging)
    assert {failure.reason for failure in report.failures} == {
        "reading it took longer than 0 s; `descry index` tries it again"
    }
    assert len(library.catalog.files.failures()) == count
    assert run(photos).failures == report.failures  # without another thread that hangs
    over.set()
    hanging.clear()
    indexer.pipeline.GIVEN_UP.clear()  # as another process has it
    again = run(photos)
    assert (again.embedded, again.unchanged, again.failures) == (count, 8 - count, [])


def test_what_is_amiss_with_a_file_is_kept_until_it_is_mended_and_goes_with_it(
    photos: Path, library: Library, run
) -> None:
    texts = photos / "captions.jsonl"
    texts.write_text('{"image": "a.png", "caption": "red"}\nnonsense\n')
    ((path, note),) = run(photos).notes
    assert (path, note[:24]) == (texts, "passed over line 2: not ")
    assert library.catalog.files.notes() == [(texts, note)]
    assert run(photos).notes == []
    moved = texts.rename(photos / "moved.jsonl")
    assert run(photos).moved == 1
    assert library.catalog.files.notes() == [(moved, note)]
    moved.write_text('{"image": "a.png", "caption": "red"}\n')
    later(moved)
    run(photos)
    assert library.catalog.files.notes() == []


def test_a_file_that_changes_while_it_is_read_is_left_to_the_next_run(
    library: Library, photos: Path, watched: WatchedEncoder, run
) -> None:
    one, other = paint(photos / "a.png", "red"), paint(photos / "b.png", "green")
    watched.image.before = lambda _: later(one)
    report = run(photos)
    assert report.failures == [Failure(one, "it changed while it was read; the next run takes it")]
    assert held(library).keys() == {other}
    watched.image.before = id
    assert (run(photos).embedded, held(library).keys()) == (1, {one, other})


def test_a_file_that_vanishes_while_it_is_read_is_named(
    library: Library, photos: Path, watched: WatchedEncoder, run
) -> None:
    paths = paint_many(photos, 3)
    watched.image.before = lambda _: paths[1].unlink(missing_ok=True)
    report = run(photos)
    assert report.failures == [Failure(paths[1], "no such file or directory")]
    assert held(library).keys() == {paths[0], paths[2]}
    run(photos)
    assert library.catalog.files.failures() == []


# incremental


def test_unchanged_files_are_not_opened(
    library: Library, photos: Path, watched: WatchedEncoder, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_many(photos / "below", 5)
    (photos / "a.txt").write_text("red\n\nblue")
    assert run(photos).embedded == 6
    watched.taken()
    before, revision = held(library), library.catalog.revision

    real = open

    def no_photo(file, *arguments, **options):
        assert not str(file).startswith(str(photos)), "an unchanged file was opened"
        return real(file, *arguments, **options)

    monkeypatch.setattr("io.open", no_photo)
    monkeypatch.setattr("indexer.chunks.fingerprint", _must_not_be_called)
    report = run(photos)
    assert (report.embedded, report.unchanged, watched.taken()) == (0, 6, 0)
    assert held(library) == before
    assert library.catalog.revision == revision  # nothing was even written


def test_a_changed_photo_is_embedded_again(
    library: Library, photos: Path, run, watched: WatchedEncoder, encoder: Encoder
) -> None:
    for name in ("a.png", "b.png"):
        paint(photos / name, "red")
    run(photos)
    before = held(library)
    paint(photos / "a.png", "blue")
    later(photos / "a.png")
    watched.taken()
    report = run(photos)
    assert (report.embedded, report.unchanged, report.removed, watched.taken()) == (1, 1, 0, 1)
    after = held(library)
    assert after[photos / "b.png"] == before[photos / "b.png"]
    assert after[photos / "a.png"] not in before.values()
    _, ids = library.index("image").search(encoder.embed("text", ["blue"]), 1)
    assert ids[0, 0] == after[photos / "a.png"]
    assert run(photos).unchanged == 2


def test_a_photo_that_was_only_touched_keeps_its_id(
    library: Library, photos: Path, run, watched: WatchedEncoder
) -> None:
    paint_many(photos, 3)
    run(photos)
    before = held(library)
    for path in before:
        later(path)
    watched.taken()
    report = run(photos)
    assert (report.unchanged, report.embedded, report.moved, report.copied) == (3, 0, 0, 0)
    assert (held(library), watched.taken()) == (before, 0)
    assert run(photos).unchanged == 3


def test_deleted_photos_disappear(library: Library, photos: Path, run) -> None:
    paths = paint_many(photos / "below", 4)
    run(photos)
    paths[0].unlink()
    paths[2].unlink()
    assert run(photos).removed == 2
    assert names(library) == {paths[1].name, paths[3].name}


def test_a_deleted_folder_disappears_with_its_photos(library: Library, photos: Path, run) -> None:
    paint_many(photos / "below" / "deep", 4)
    paint(photos / "stays.png")
    run(photos)
    shutil.rmtree(photos / "below")
    assert run(photos).removed == 4
    assert names(library) == {"stays.png"}


@pytest.mark.parametrize("batch", [1, 32])
class TestMoves:
    """Nothing that is only at another place is embedded again, and its id stays, whatever shares its batch."""

    @pytest.fixture(autouse=True)
    def batches(self, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(indexer.pipeline, "BATCH", batch)
        monkeypatch.setattr(indexer.pipeline, "AHEAD", batch)

    @pytest.fixture
    def moved(self, library: Library, photos: Path, run, watched: WatchedEncoder):
        """Ten photos, and a second run in which nothing may be embedded; gives the ids of before and after."""
        paint_many(photos, 10)
        (photos / "sub").mkdir()
        run(photos)
        before = ids_in(library, photos)
        watched.taken()

        def second() -> tuple[dict[str, int], dict[str, int]]:
            report = run(photos)
            assert (report.embedded, watched.taken(), report.failures) == (0, 0, [])
            after = ids_in(library, photos)
            assert after.keys() == {str(path.relative_to(photos)) for path in photos.rglob("*.bmp")}
            assert run(photos).unchanged == len(after)
            return before, after

        return second

    def test_a_renamed_photo(self, photos: Path, moved) -> None:
        (photos / "00003.bmp").rename(photos / "zoo.bmp")
        before, after = moved()
        assert after.pop("zoo.bmp") == before.pop("00003.bmp")
        assert after == before

    def test_a_photo_moved_to_a_folder_that_comes_later(self, photos: Path, moved) -> None:
        (photos / "00003.bmp").rename(photos / "sub" / "00003.bmp")
        before, after = moved()
        assert after["sub/00003.bmp"] == before["00003.bmp"]

    def test_a_photo_renamed_in_case_only(self, photos: Path, moved) -> None:
        (photos / "00003.bmp").rename(photos / "00003.x.bmp")
        (photos / "00003.x.bmp").rename(photos / "00003.Bmp".replace("3", "3a"))
        (photos / "00003a.Bmp").rename(photos / "00003A.bmp")
        before, after = moved()
        assert after["00003A.bmp"] == before["00003.bmp"]

    def test_two_photos_that_swap_names(self, photos: Path, moved) -> None:
        (photos / "00001.bmp").rename(photos / "x")
        (photos / "00008.bmp").rename(photos / "00001.bmp")
        (photos / "x").rename(photos / "00008.bmp")
        later(photos / "00001.bmp")  # made in one tick of the clock, they would look unchanged
        before, after = moved()
        assert (after["00001.bmp"], after["00008.bmp"]) == (before["00008.bmp"], before["00001.bmp"])

    @pytest.mark.parametrize("step", [1, -1])
    def test_names_that_all_shift_by_one(self, step: int, photos: Path, moved) -> None:
        for number in range(10)[::-step]:
            path = (photos / f"{number:05}.bmp").rename(photos / f"{number + step + 1:05}.bmp")
            later(path, 60 * number)
        before, after = moved()
        assert after == {f"{number + step + 1:05}.bmp": before[f"{number:05}.bmp"] for number in range(10)}

    def test_a_photo_replaced_by_another_of_the_library(self, photos: Path, moved) -> None:
        (photos / "00005.bmp").replace(photos / "00002.bmp")
        later(photos / "00002.bmp")
        before, after = moved()
        assert after["00002.bmp"] == before["00005.bmp"]
        assert len(after) == 9

    def test_a_copy_is_an_item_of_its_own(self, photos: Path, moved) -> None:
        shutil.copy2(photos / "00005.bmp", photos / "sub" / "copy.bmp")
        before, after = moved()
        assert after.pop("sub/copy.bmp") not in before.values()
        assert after == before

    def test_a_renamed_photo_and_its_copy(self, photos: Path, moved) -> None:
        shutil.copy2(photos / "00005.bmp", photos / "sub" / "copy.bmp")
        (photos / "00005.bmp").rename(photos / "renamed.bmp")
        before, after = moved()
        assert before["00005.bmp"] in (after["renamed.bmp"], after["sub/copy.bmp"])
        assert len(after) == 11


def test_the_original_is_kept_when_a_new_photo_takes_its_name(
    library: Library, photos: Path, run, watched: WatchedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer.pipeline, "BATCH", 1)
    monkeypatch.setattr(indexer.pipeline, "AHEAD", 1)
    paint_many(photos, 5)
    run(photos)
    before = held(library)
    watched.taken()
    (photos / "00000.bmp").rename(photos / "original.bmp")
    paint(photos / "00000.bmp", "white")
    later(photos / "00000.bmp")
    report = run(photos)
    assert (report.embedded, report.moved, watched.taken()) == (1, 1, 1)
    assert held(library)[photos / "original.bmp"] == before[photos / "00000.bmp"]


def test_a_renamed_folder_keeps_everything(library: Library, photos: Path, run, watched: WatchedEncoder) -> None:
    paint_many(photos / "old" / "deep", 50)
    run(photos)
    before = ids_in(library, photos / "old")
    (photos / "old").rename(photos / "new")
    watched.taken()
    report = run(photos)
    assert (report.moved, report.embedded, report.removed, watched.taken()) == (50, 0, 0, 0)
    assert ids_in(library, photos / "new") == before


def test_a_renamed_root_keeps_everything(library: Library, photos: Path, run, watched: WatchedEncoder) -> None:
    paint_many(photos / "old", 5)
    run(photos / "old")
    before = ids_in(library, photos / "old")
    (photos / "old").rename(photos / "new")
    watched.taken()
    assert run(photos / "new").moved == 5
    assert (ids_in(library, photos / "new"), watched.taken()) == (before, 0)


def test_of_two_equal_photos_the_one_that_vanished_gives_its_id(library: Library, photos: Path, run) -> None:
    for name in ("a.png", "b.png"):
        paint(photos / name, "red")
    run(photos)
    before = held(library)
    (photos / "b.png").rename(photos / "c.png")
    report = run(photos)
    assert (report.moved, report.embedded, report.removed) == (1, 0, 0)
    assert held(library) == {photos / "a.png": before[photos / "a.png"], photos / "c.png": before[photos / "b.png"]}


def test_equal_photos_are_all_kept(library: Library, photos: Path, run) -> None:
    for number in range(40):
        paint(photos / f"{number}.png", "red")
    assert run(photos).failures == []
    assert len(held(library)) == 40


def test_a_photo_replaced_by_a_folder_of_its_name_and_back(library: Library, photos: Path, run) -> None:
    paint(photos / "a.png")
    run(photos)
    (photos / "a.png").unlink()
    paint(photos / "a.png" / "inside.png", "blue")
    run(photos)
    assert held(library).keys() == {photos / "a.png" / "inside.png"}
    shutil.rmtree(photos / "a.png")
    paint(photos / "a.png")
    run(photos)
    assert held(library).keys() == {photos / "a.png"}


# roots


def test_several_roots_share_a_library(library: Library, tmp_path: Path, run) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    paint(one / "a.png", "red")
    paint(other / "b.png", "blue")
    run(one)
    run(other)
    assert names(library) == {"a.png", "b.png"}
    assert library.catalog.files.roots().keys() == {one, other}
    (one / "a.png").rename(one / "c.png")
    assert run(one).moved == 1
    assert run(one, other).unchanged == 2


def test_a_root_inside_another_is_indexed_once(library: Library, photos: Path, run) -> None:
    paint(photos / "sub" / "a.png")
    assert run(photos / "sub", photos, photos / "sub" / "a.png").embedded == 1
    assert run(photos / "sub").unchanged == 1
    (photos / "sub" / "a.png").unlink()
    paint(photos / "b.png")
    run(photos)
    assert names(library) == {"b.png"}


def test_a_root_may_be_spelled_in_many_ways(
    library: Library, photos: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(photos / "a.png")
    (photos / "sub").mkdir()
    run(photos)
    monkeypatch.chdir(photos)
    for spelled in (f"{photos}/", ".", "sub/..", f"{photos}/sub/../", f"//{photos}", Path("../photos")):
        report = index_sources(library, [spelled], color_encoder())
        assert (report.unchanged, report.embedded) == (1, 0), spelled
    assert library.catalog.files.roots().keys() == {photos}


def test_a_root_that_is_a_link_is_walked(library: Library, photos: Path, tmp_path: Path, run) -> None:
    paint(photos / "a.png")
    (tmp_path / "link").symlink_to(photos)
    run(tmp_path / "link")
    assert held(library).keys() == {tmp_path / "link" / "a.png"}


def test_a_single_file_can_be_a_root_and_leaves_its_neighbours_alone(library: Library, photos: Path, run) -> None:
    one, other = paint(photos / "a.png"), paint(photos / "b.png", "blue")
    run(photos)
    paint(other, "green")
    later(other)
    assert run(one).unchanged == 1
    other.unlink()
    run(one)
    assert len(held(library)) == 2


def test_what_is_of_no_kind_or_not_there_is_refused(library: Library, photos: Path, run) -> None:
    (photos / "program.exe").touch()
    with pytest.raises(PathError, match=r"program\.exe is neither a photo nor a text"):
        run(photos / "program.exe")
    with pytest.raises(PathError, match="There is no folder or file"):
        run(photos / "nothing")
    with pytest.raises(PathError, match="not UTF-8"):
        run(Path(os.fsdecode(os.fsencode(photos) + b"/caf\xe9")))
    assert library.catalog.files.roots() == {}


def test_an_empty_folder_is_no_error_and_not_absent(photos: Path, run) -> None:
    for _ in range(2):
        report = run(photos)
        assert (report.absent, report.failures, report.embedded) == ([], [], 0)


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_root_that_is_gone_or_empty_is_kept_and_reported(how: str, library: Library, photos: Path, run) -> None:
    paint_many(photos, 3)
    run(photos)
    before = held(library)
    shutil.rmtree(photos)
    if how == "empty":
        photos.mkdir()
    report = run(photos)
    assert (report.absent, report.removed, report.failures) == ([photos], 0, [])
    assert held(library) == before


def test_a_library_inside_its_own_root_does_not_index_itself(tmp_path: Path, watched: WatchedEncoder) -> None:
    paint(tmp_path / "a.png")
    for place in (tmp_path, tmp_path / "sub" / "library"):

        def store_text(folder: Path) -> None:
            folder.mkdir()
            (folder / "config.json").write_text("{}")

        encoder = Encoder("colors", 4, "0", watched.encoder.makers, store_text)
        with Library.create(place, encoder) as library:
            for embedded in (1, 0):
                report = index_sources(library, [tmp_path], encoder)
                assert (report.embedded, report.failures) == (embedded, [])
            known = library.catalog.connection.execute("SELECT name FROM files").fetchall()
            assert known == [("a.png",)]


# drives that come and go


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that passes for a mounted drive until `unmount`."""
    mounted = tmp_path / "media" / "drive"
    paint_many(mounted / "photos", 3)
    paint(mounted / "top.png", "white")

    def ismount(path: Path | str) -> bool:
        return Path(path) == Path("/") or (Path(path) == mounted and not away(mounted).exists())

    monkeypatch.setattr(os.path, "ismount", ismount)
    return mounted


def away(drive: Path) -> Path:
    return drive.parents[1] / "away"


def unmount(drive: Path) -> None:
    drive.rename(away(drive))
    drive.mkdir()


def mount(drive: Path) -> None:
    drive.rmdir()
    away(drive).rename(drive)


def roots_of(drive: Path) -> dict[str, Path]:
    """From where a drive may be indexed: by its own name, from above, below, and through links."""
    above = drive.parent
    link = above.parent / "links" / "link"
    link.parent.mkdir()
    link.symlink_to(drive / "photos")
    whole = link.with_name("whole")
    whole.symlink_to(drive)
    return {
        "itself": drive,
        "above": above,
        "below": drive / "photos",
        "link": link,
        "link_to_it": whole,
        "above_links": link.parent,
    }


@pytest.mark.parametrize("where", ["itself", "above", "below", "link", "link_to_it", "above_links"])
def test_photos_on_a_drive_that_is_not_mounted_are_kept(
    where: str, drive: Path, library: Library, run, watched: WatchedEncoder
) -> None:
    root = roots_of(drive)[where]
    if where == "above":
        paint(root / "stays.png", "cyan")
    run(root)
    before = held(library)
    unmount(drive)
    report = run(root)
    assert held(library) == before
    assert report.removed == 0
    if where != "above_links":
        assert report.absent
    (drive / "photos").mkdir() if where == "below" else None
    assert run(root).removed == 0
    (drive / "photos").rmdir() if where == "below" else None
    mount(drive)
    watched.taken()
    report = run(root)
    assert (report.absent, report.removed, report.moved, watched.taken()) == ([], 0, 0, 0)
    assert held(library) == before


@pytest.fixture
def real_drive(tmp_path: Path) -> Iterator[Path]:
    """A drive that is really mounted; a skip where that is not allowed."""
    store, drive = tmp_path / "store", tmp_path / "media" / "drive"
    for place in (store, drive):
        place.mkdir(parents=True)
    if not mounts("mount", "-t", "tmpfs", "-o", "size=1m", "descry-test", str(store)):
        pytest.skip("mounting is not allowed")
    try:
        assert mounts("mount", "--bind", str(store), str(drive))
        paint_many(drive / "photos", 3)
        yield drive
        mounts("umount", str(drive))
    finally:
        mounts("umount", str(store))


def mounts(*command: str) -> bool:
    return bool(shutil.which(command[0])) and not subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize("root", [".", "drive", "drive/photos"])
def test_photos_on_a_real_drive_that_is_unmounted_are_kept(
    root: str, real_drive: Path, library: Library, run, watched: WatchedEncoder
) -> None:
    place = real_drive.parent / root
    run(place)
    before = held(library)
    assert len(before) == 3
    assert mounts("umount", str(real_drive))
    report = run(place)
    assert (report.removed, held(library)) == (0, before)
    assert report.absent
    assert mounts("mount", "--bind", str(real_drive.parents[1] / "store"), str(real_drive))
    watched.taken()
    assert (run(place).unchanged, watched.taken()) == (3, 0)


def test_a_drive_indexed_by_a_folder_below_is_kept_when_the_folder_above_is_indexed(
    drive: Path, library: Library, run
) -> None:
    run(drive / "photos")
    before = held(library)
    unmount(drive)
    paint(drive.parent / "new.png", "cyan")
    report = run(drive.parent)
    assert (report.embedded, report.removed) == (1, 0)
    assert before.items() <= held(library).items()


def test_a_copy_of_what_is_on_a_drive_that_is_away_is_a_copy(
    drive: Path, library: Library, photos: Path, run, watched: WatchedEncoder
) -> None:
    run(drive)
    before = held(library)
    shutil.copy(drive / "photos" / "00001.bmp", photos)
    unmount(drive)
    watched.taken()
    report = run(photos)
    assert (report.copied, report.moved, watched.taken()) == (1, 0, 0)
    assert before.items() <= held(library).items()


def test_a_deleted_photo_on_a_mounted_drive_disappears(drive: Path, run) -> None:
    run(drive.parent)
    (drive / "top.png").unlink()
    assert run(drive.parent).removed == 1


def test_a_root_whose_drive_became_part_of_another_goes_on(
    library: Library, photos: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(photos / "a.png")
    run(photos)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) in (photos, Path("/"), Path("/tmp")))
    assert run(photos).unchanged == 1
    assert library.catalog.files.roots() == {photos: photos}


def test_what_is_in_a_closed_folder_is_kept(unprivileged: Path, watched: WatchedEncoder) -> None:
    photos = unprivileged / "photos"
    paint_many(photos / "closed" / "deep", 3)
    paint(photos / "closed" / "a.png")
    with Library.create(unprivileged / "library", watched.encoder) as library:
        index_sources(library, [photos], watched.encoder)
        before = held(library)
        for mode in (0, 0o444):
            (photos / "closed").chmod(mode)
            report = index_sources(library, [photos], watched.encoder)
            assert report.removed == 0
            assert report.failures
            assert held(library) == before
        (photos / "closed").chmod(0o700)
        assert index_sources(library, [photos], watched.encoder).unchanged == 4
        assert library.catalog.files.failures() == []


def test_a_root_in_a_closed_folder_is_absent_or_refused(unprivileged: Path, watched: WatchedEncoder) -> None:
    root = unprivileged / "closed" / "photos"
    paint(root / "a.png")
    with Library.create(unprivileged / "library", watched.encoder) as library:
        index_sources(library, [root], watched.encoder)
        (unprivileged / "closed").chmod(0)
        assert index_sources(library, [root], watched.encoder).absent == [root]
        assert len(held(library)) == 1
        with pytest.raises(PathError, match="may not be looked at"):
            index_sources(library, [root.with_name("other")], watched.encoder)


# the run


def test_another_encoder_is_refused(library: Library, photos: Path) -> None:
    for other in (color_encoder(name="shapes"), color_encoder(checksum="1")):
        with pytest.raises(EncoderMismatch):
            index_sources(library, [photos], other)


def test_the_watcher_is_told_of_every_file(photos: Path, run) -> None:
    class Told(Watcher):
        def __init__(self) -> None:
            self.heard: list[object] = []

        def begin(self, total: int) -> None:
            self.heard.append(total)

        def advance(self, files: int) -> None:
            self.heard.append(files)

        def failed(self, failure: Failure) -> None:
            self.heard.append(failure.path.name)

        def end(self) -> None:
            self.heard.append("end")

    paint_many(photos, 40)
    (photos / "bad.jpg").touch()
    told = Told()
    run(photos, watcher=told)
    assert (told.heard[0], told.heard[-1]) == (41, "end")
    assert sum(count for count in told.heard[1:] if isinstance(count, int)) == 41
    assert "bad.jpg" in told.heard
    quiet = Told()
    run(photos, watcher=quiet)
    assert quiet.heard == []


def test_ctrl_c_keeps_what_is_done(
    library: Library, photos: Path, watched: WatchedEncoder, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer.pipeline, "BATCH", 8)
    paint_many(photos, 100)

    def interrupt(_: object) -> None:
        if watched.image.counts["embedded"] >= 16:
            raise KeyboardInterrupt

    watched.image.before = interrupt
    report = run(photos)
    assert report.interrupted
    assert 16 <= report.embedded < 100
    assert len(held(library)) == report.embedded
    kept = held(library)
    watched.image.before = id
    report = run(photos)
    assert not report.interrupted
    assert report.embedded == 100 - len(kept)
    assert kept.items() <= held(library).items()


def test_two_batches_are_embedded_at_once(library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer.pipeline, "BATCH", 5)
    paint_many(photos, 40)
    meet = threading.Barrier(2)

    class Meeting(PictureColors):
        def embed(self, prepared):
            meet.wait(120)  # raises where nobody else comes
            return super().embed(prepared)

    encoder = Encoder("colors", 4, "0", {"image": Meeting, "text": WordColors})
    assert index_sources(library, [photos], encoder).embedded == 40
    assert_consistent(library)


def test_what_is_embedded_is_stored_while_a_slow_photo_is_waited_for(
    library: Library, photos: Path, watched: WatchedEncoder, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer.pipeline, "BATCH", 4)
    paint_many(photos, 13)
    paint(photos / "99999.bmp", "white")
    stored: list[int] = []

    def wait_for_the_others(picture: Image.Image) -> None:
        if picture.getpixel((0, 0)) == (255, 255, 255):
            given_up = time.monotonic() + 120
            with Library.open(library.path) as reader:
                while len(held(reader)) < 12 and time.monotonic() < given_up:
                    time.sleep(0.01)
                stored.append(len(held(reader)))

    watched.image.before = wait_for_the_others
    assert run(photos).embedded == 14
    assert stored == [12]


def test_a_failing_encoder_ends_the_run_and_what_was_stored_before_stays(
    library: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer.pipeline, "BATCH", 5)
    paint_many(photos, 40)

    class Failing(PictureColors):
        def embed(self, prepared):
            if any(picture[0] == 22 / 255 for picture in prepared):
                raise RuntimeError("out of memory")
            return super().embed(prepared)

    with pytest.raises(RuntimeError, match="out of memory"):
        index_sources(library, [photos], Encoder("colors", 4, "0", {"image": Failing, "text": WordColors}))
    assert len(held(library)) == 20
    assert index_sources(library, [photos], encoder).embedded == 20
    assert_consistent(library)


def test_a_long_captions_file_is_completed_after_an_interruption(
    library: Library, photos: Path, watched: WatchedEncoder, run
) -> None:
    colors = ("red", "green", "blue")
    lines = "".join(f'{{"caption": "number {number} is {colors[number % 3]}"}}\n' for number in range(1000))
    (photos / "captions.jsonl").write_text(lines)

    def interrupt(_: object) -> None:
        if watched.text.counts["prepared"] > 600:
            raise KeyboardInterrupt

    watched.text.before = interrupt
    assert run(photos).interrupted
    assert 0 < library.catalog.counts()["text"] < 1000
    watched.text.before = id
    report = run(photos)
    assert (report.embedded, library.catalog.counts()) == (1, {"text": 1000})
    items = library.catalog.items_at(photos / "captions.jsonl", "text")
    assert [item.part for item in items] == [f"c{number}" for number in range(1, 1001)]
    assert [item.text for item in items] == [f"number {number} is {colors[number % 3]}" for number in range(1000)]
    assert run(photos).unchanged == 1


def test_a_captions_file_that_breaks_late_leaves_nothing_of_itself(library: Library, photos: Path, run) -> None:
    (photos / "captions.jsonl").write_bytes(b'{"caption": "red"}\n' * 700 + b"zero \0 bytes")
    report = run(photos)
    assert "zero bytes" in report.failures[0].reason
    assert library.catalog.counts() == {}


def test_a_broken_line_of_captions_costs_that_line_and_is_said(library: Library, photos: Path, run) -> None:
    (photos / "captions.jsonl").write_text('{"caption": "red"}\n' * 400 + "{broken\n" + '{"caption": "red"}\n' * 400)
    report = run(photos)
    assert report.failures == []
    ((path, reason),) = report.notes
    assert path.name == "captions.jsonl"
    assert "line 401: not JSON" in reason
    assert library.catalog.counts() == {"text": 800}


def test_many_captions_and_photos_mix_in_any_order(library: Library, photos: Path, run) -> None:
    for number in range(6):
        (photos / f"{number}.csv").write_text("caption\n" + "red\n" * (number * 100))
        paint(photos / f"{number}.png", shade(number))
    run(photos)
    assert library.catalog.counts() == {"image": 6, "text": 1500}


def test_memory_does_not_grow_with_the_folder(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.storage.catalog.READ_AHEAD", 100)
    peaks = []
    for count in (200, 300, 2000):  # the first run pays for what is loaded once
        for start in range(0, count, 100):
            paint_many(tmp_path / str(count) / str(start), 100, start=start)
        with Library.create(tmp_path / f"library-{count}", encoder) as library:
            tracemalloc.start()
            index_sources(library, [tmp_path / str(count)], encoder)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[2] < peaks[1] + 500_000


def test_whatever_happens_to_a_folder_the_library_follows(
    library: Library, photos: Path, run, watched: WatchedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random changes, several between two runs: the library holds the files that are there, with their vectors.

    Colours say who a photo is: what keeps its colour keeps its id, and only new colours are embedded.
    """
    monkeypatch.setattr(indexer.pipeline, "BATCH", 4)
    monkeypatch.setattr(indexer.pipeline, "AHEAD", 2)
    chance = random.Random(7)
    folders = [photos, photos / "a", photos / "b", photos / "b" / "deep"]
    clock, colors = itertools.count(1), itertools.count(1)

    def files() -> list[Path]:
        return sorted(photos.rglob("*.bmp"))

    def new() -> Path:
        return chance.choice(folders) / f"{chance.randrange(30):03}.bmp"

    def create() -> None:
        later(paint(new(), shade(next(colors) * 37)), next(clock))

    def move() -> None:
        target = new()
        target.parent.mkdir(parents=True, exist_ok=True)
        later(chance.choice(files()).replace(target), next(clock))

    def copy() -> None:
        target = new()
        target.parent.mkdir(parents=True, exist_ok=True)
        original = chance.choice(files())
        if original != target:
            later(Path(shutil.copy(original, target)), next(clock))

    def swap() -> None:
        one, other = chance.sample(files(), 2)
        one.rename(photos / "swap")
        later(other.rename(one), next(clock))
        later((photos / "swap").rename(other), next(clock))

    def delete() -> None:
        chance.choice(files()).unlink()

    def touch() -> None:
        later(chance.choice(files()), next(clock))

    def rename_folder() -> None:
        if (photos / "b").exists() and not (photos / "c").exists():
            (photos / "b").rename(photos / "c")
        elif (photos / "c").exists() and not (photos / "b").exists():
            (photos / "c").rename(photos / "b")

    def color(path: Path) -> tuple[int, int, int]:
        with Image.open(path) as picture:
            return picture.getpixel((0, 0))

    for _ in range(10):
        create()
    known: dict[tuple[int, int, int], set[int]] = {}
    for _ in range(40):
        watched.taken()
        report = run(photos)
        there = {path: color(path) for path in files()}
        ids = held(library)
        assert ids.keys() == there.keys()
        assert report.failures == []
        rows = {
            id: row
            for piece in library.catalog.vectors_since("image", 0)
            for id, row in zip(piece.ids, piece.rows, strict=True)
        }
        for path, id in ids.items():
            (truth,) = watched.image.tower.embed([np.array(there[path]) / 255])
            np.testing.assert_allclose(rows[id], truth, atol=1e-3)
        now: dict[tuple[int, int, int], set[int]] = {}
        for path, id in ids.items():
            now.setdefault(there[path], set()).add(id)
        for kept in now.keys() & known.keys():
            assert now[kept] & known[kept], "all ids went although the photo is there"
        assert watched.taken() <= sum(there[path] not in known for path in there)
        known = now
        for _ in range(chance.randrange(1, 6)):
            chance.choice([create, create, move, move, copy, swap, delete, touch, rename_folder])()


# captions beside photos


def test_a_caption_is_linked_to_its_photo_whichever_comes_first(library: Library, photos: Path, run) -> None:
    (photos / "a.txt").write_text("a red one\nseen twice")

    def items():
        return [(item.part, item.facts.get("photo")) for item in library.catalog.items_at(photos / "a.txt", "text")]

    run(photos)
    assert items() == [("p1", None)]
    paint(photos / "a.JPG")
    run(photos)
    assert items() == [("c1", "a.JPG"), ("c2", "a.JPG")]
    (photos / "a.JPG").rename(photos / "a.png")
    run(photos)
    assert items() == [("c1", "a.png"), ("c2", "a.png")]
    (photos / "a.png").unlink()
    run(photos)
    assert items() == [("p1", None)]
    assert run(photos).unchanged == 1


def test_a_caption_that_moves_with_its_photo_keeps_vector_and_link(
    library: Library, photos: Path, run, watched: WatchedEncoder
) -> None:
    paint(photos / "old" / "a.png")
    (photos / "old" / "a.txt").write_text("a red one")
    run(photos)
    before = {path.name: id for path, id in held(library, "text").items()}
    (photos / "old").rename(photos / "new")
    watched.taken()
    assert run(photos).moved == 2
    assert watched.taken() == 0
    assert {path.name: id for path, id in held(library, "text").items()} == before
    (item,) = library.catalog.items_at(photos / "new" / "a.txt", "text")
    assert item.facts["photo"] == "a.png"


# facts


def test_photos_that_did_not_change_get_the_facts_that_a_newer_descry_reads_and_keep_their_vectors(
    library: Library, photos: Path, run, watched: WatchedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [paint(photos / "a.png"), paint(photos / "b.png"), paint(photos / "c.png", "blue")]  # two of one content
    (photos / "notes.txt").write_text("a red one")
    run(photos)
    before = held(library)
    watched.taken()
    newer = replace(
        IMAGE, facts_version="next", read=lambda *of: ((replace(i, facts={"new": 1}), v) for i, v in IMAGE.read(*of))
    )
    monkeypatch.setitem(MODALITIES, "image", newer)

    report = run(photos)

    assert (report.unchanged, report.embedded, report.moved, report.copied) == (4, 0, 0, 0)
    assert (held(library), watched.taken()) == (before, 0)
    assert [library.catalog.items([before[path]])[0].facts["new"] for path in paths] == [1, 1, 1]
    monkeypatch.setattr("indexer.chunks.fingerprint", pytest.fail)
    assert run(photos).unchanged == 4


def test_photos_of_an_earlier_version_are_looked_at_for_colours_and_keep_their_vectors(
    library: Library, photos: Path, run, watched: WatchedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = paint(photos / "a.png")
    with monkeypatch.context() as earlier:
        earlier.setattr("indexer.chunks.colour_of", lambda _: None)
        earlier.setitem(MODALITIES, "image", replace(IMAGE, facts_version="2"))
        run(photos)
    before = held(library)
    assert "colour" not in library.catalog.items([before[path]])[0].facts
    watched.taken()

    assert run(photos).unchanged == 1
    assert (held(library), watched.taken()) == (before, 0)
    assert library.catalog.items([before[path]])[0].facts["colour"] == "full"


def test_the_pixels_of_a_photo_that_moved_or_was_copied_are_not_looked_at_again(
    library: Library, photos: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = paint(photos / "a.png", "gray")
    run(photos)
    monkeypatch.setattr("indexer.chunks.colour_of", pytest.fail)
    (photos / "copy.png").write_bytes(path.read_bytes())
    assert run(photos).copied == 1
    path.rename(photos / "b.png")
    assert run(photos).moved == 1
    facts = [item.facts["colour"] for item in library.catalog.items(list(held(library).values()))]
    assert facts == ["black-and-white", "black-and-white"]


def test_a_photo_whose_colours_cannot_be_told_keeps_its_other_facts(
    library: Library, photos: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> str:
        raise SourceError("it is truncated")

    path = paint(photos / "a.png")
    monkeypatch.setattr("indexer.chunks.colour_of", broken)
    report = run(photos)
    (item,) = library.catalog.items_at(path, "image")
    assert (report.failures, item.facts["width"], "colour" in item.facts) == ([], 8, False)


def test_a_sidecar_that_comes_changes_or_goes_tells_about_its_photo_and_is_no_text(
    library: Library, photos: Path, run, watched: WatchedEncoder
) -> None:
    path, sidecar = paint(photos / "a.png"), photos / "a.png.supplemental-metadata.json"
    paint(photos / "b.png", "blue")
    run(photos)
    before = held(library)

    def described() -> object:
        return library.catalog.items([before[path]])[0].facts.get("description")

    watched.taken()
    for text in ("Minka at home", "Minka in the garden", None):
        if text is None:
            sidecar.unlink()
        else:
            sidecar.write_text(json.dumps({"description": text}), encoding="utf-8")
            later(sidecar)
        report = run(photos)
        assert (report.unchanged, report.embedded, report.copied) == (2, 0, 0)
        assert (held(library), held(library, "text"), watched.taken()) == (before, {}, 0)
        assert described() == text
        assert match_word(library.catalog, "minka", "image") == ({before[path]} if text else set())
        assert match_word(library.catalog, "home", "image") == ({before[path]} if text == "Minka at home" else set())


def test_a_photo_that_is_a_root_of_its_own_has_its_sidecar(library: Library, photos: Path, run) -> None:
    path = paint(photos / "a.png")
    (photos / "a.png.json").write_text('{"description": "Minka"}', encoding="utf-8")
    run(path)
    (item,) = library.catalog.items([held(library)[path]])
    assert item.facts["description"] == "Minka"

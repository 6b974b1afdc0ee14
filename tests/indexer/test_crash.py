"""What a kill, a full disk, Ctrl-C and two processes at once may cost: nothing that was committed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from painting import held, paint_many
from PIL import Image

import indexer.pipeline
from indexer import Encoder, Library, index_sources
from indexer.errors import LibraryError, LibraryFull, LibraryLocked
from indexer.library import CATALOG, LOCK_HOLDER
from indexer.pipeline import BATCH
from indexer.reembedding import reembed, unfinished
from indexer.testing import PictureColors, WordColors, color_encoder

KILLS = 20

# A process that indexes a folder with the encoder of colours, slowed down, and logs every photo that it prepares.
INDEXER = """
    import os, sys, time
    from pathlib import Path
    from indexer import Encoder, Library, index_sources
    from indexer.testing import PictureColors, WordColors

    folder, place, log, pause = Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
    log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    class Slow(PictureColors):
        def embed(self, prepared):
            time.sleep(pause)
            os.write(log, b"." * len(prepared))
            return super().embed(prepared)

    encoder = Encoder("colors", 4, "0", {"image": Slow, "text": WordColors})
    print("ready", flush=True)
    with Library.create(place, encoder) as library:
        report = index_sources(library, [folder], encoder)
    print("interrupted" if report.interrupted else "done", flush=True)
    os._exit(130 if report.interrupted else 0)
"""


def start(folder: Path, place: Path, log: Path, *, pause: float = 0.0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INDEXER), str(folder), str(place), str(log), str(pause)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def assert_sound(place: Path) -> dict[Path, int]:
    """The library opens, its database is whole, its index agrees, no photo is there twice; gives its photos."""
    with Library.open(place) as library:
        connection = library.catalog.connection
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        photos = held(library)
        index = library.index("image")
        _, ids = index.search(np.ones((1, 4), np.float32), max(1, len(index)))
        assert sorted(ids[0][ids[0] >= 0]) == sorted(photos.values())
        (items,) = library.catalog.connection.execute("SELECT count(*) FROM items").fetchone()
        assert items == len(photos)
    return photos


def wait_for(log: Path, embedded: int) -> None:
    """Returns when so many photos are prepared."""
    while (log.stat().st_size if log.exists() else 0) < embedded:
        time.sleep(0.001)


def test_killed_at_random_moments_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(2)
    folder, place, log = tmp_path / "photos", tmp_path / "library", tmp_path / "log"
    paths = paint_many(folder, 600)
    kept: dict[Path, int] = {}
    for kill in range(KILLS):
        process = start(folder, place, log, pause=0.1)
        assert process.stdout is not None
        process.stdout.readline()
        # every fifth when it has got on, however busy the machine is; the others much too early, or anywhere
        while kill % 5 == 4 and held_by_or_none(place).keys() == kept.keys() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (place / CATALOG).exists():
            try:
                photos = assert_sound(place)
            except LibraryError:  # killed before it was begun: then nothing was in it
                assert not kept
                continue
            assert kept.items() <= photos.items()
            kept = photos
    assert 0 < len(kept) < 600  # else the kills came too early or too late to tell anything

    process = start(folder, place, log)
    assert process.communicate()[0] == "ready\ndone\n"
    photos = assert_sound(place)
    assert kept.items() <= photos.items()
    assert photos.keys() == set(paths)
    embedded_twice = log.stat().st_size - len(paths)
    assert embedded_twice <= KILLS * BATCH
    with Library.create(place, color_encoder()) as library:
        report = index_sources(library, [folder], color_encoder())
    assert (report.unchanged, report.embedded) == (600, 0)


# A process that gives a library of colours the other of two encoders, slowly.
REEMBEDDER = """
    import sys, time
    from indexer import Library
    from indexer.encoders.base import Encoder
    from indexer.reembedding import reembed
    from indexer.testing import PictureColors, color_encoder

    class Backwards(PictureColors):
        def embed(self, prepared):
            time.sleep(0.02)
            return super().embed(prepared)[:, ::-1]

    encoders = {"colors": Encoder("backwards", 4, "1", {"image": Backwards}), "backwards": color_encoder()}
    print("ready", flush=True)
    with Library.open(sys.argv[1], readonly=False) as library:
        reembed(library, encoders[library.encoder_name])
    print("done", flush=True)
"""


class Backwards(PictureColors):
    def embed(self, prepared):
        return super().embed(prepared)[:, ::-1]


def assert_each_has_its_own_vector(library: Library) -> None:
    """The vector of each photo is what the library's encoder makes of the file that lies there."""
    items = library.catalog.items(library.catalog.all_ids())
    rows = library.catalog.vectors([item.id for item in items]).rows
    wanted = color_encoder().embed("image", [Image.open(item.path) for item in items])
    wanted = wanted if library.encoder_name == "colors" else wanted[:, ::-1]
    np.testing.assert_allclose(rows, wanted, atol=2e-3)


def test_killed_while_it_is_embedded_anew_with_photos_swapped_between_no_vector_is_anothers(tmp_path: Path) -> None:
    chance = random.Random(3)
    folder, place = tmp_path / "photos", tmp_path / "library"
    paths = paint_many(folder, 200)
    with Library.create(place, color_encoder()) as library:
        index_sources(library, [folder], color_encoder())
    killed = 0
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(REEMBEDDER), str(place)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
        killed += "done" not in process.communicate()[0]
        assert_sound(place)
        one, other = chance.sample(paths, 2)
        one.rename(folder / "waiting")
        other.rename(one)
        (folder / "waiting").rename(other)
    assert killed
    with Library.open(place, readonly=False) as library:
        backwards = Encoder("backwards", 4, "1", {"image": Backwards, "text": WordColors})
        # what was embedded before a kill keeps the fingerprint that it had then; by it the next run tells what moved
        reembed(library, backwards if library.encoder_name == "colors" else color_encoder())
        index_sources(library, [folder], color_encoder() if library.encoder_name == "colors" else backwards)
        assert_each_has_its_own_vector(library)
        assert unfinished(library) is None
    assert assert_sound(place).keys() == set(paths)


def test_ctrl_c_ends_a_run_and_keeps_what_is_done(tmp_path: Path) -> None:
    folder, place, log = tmp_path / "photos", tmp_path / "library", tmp_path / "log"
    paint_many(folder, 300)
    process = start(folder, place, log, pause=0.2)
    wait_for(log, 3 * BATCH)
    done = held_by(place)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "ready\ninterrupted\n", "")
    photos = assert_sound(place)
    assert BATCH <= len(done) <= len(photos) < 300
    assert done.items() <= photos.items()


def test_ctrl_c_does_not_wait_for_a_batch(tmp_path: Path) -> None:
    folder, place, log = tmp_path / "photos", tmp_path / "library", tmp_path / "log"
    paint_many(folder, 10)
    process = start(folder, place, log, pause=3600)  # longer than a test may take
    while not (place / CATALOG).exists():
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130


def held_by(place: Path) -> dict[Path, int]:
    with Library.open(place) as library:
        return held(library)


def test_the_second_indexer_is_told_who_the_first_is(tmp_path: Path) -> None:
    folder, place, log = tmp_path / "photos", tmp_path / "library", tmp_path / "log"
    paint_many(folder, 200)
    process = start(folder, place, log, pause=1)
    while not log.exists() or not held_by_or_none(place):
        time.sleep(0.01)
    with Library.create(place, color_encoder()) as library:
        with pytest.raises(LibraryLocked, match=f"is being written by process {process.pid} on .*: wait for it"):
            index_sources(library, [folder], color_encoder())
        with pytest.raises(LibraryLocked):
            library.remove(folder)
    assert process.communicate()[0] == "ready\ndone\n"
    assert len(assert_sound(place)) == 200
    assert not (place / LOCK_HOLDER).exists()


def held_by_or_none(place: Path) -> dict[Path, int]:
    try:
        return held_by(place)
    except LibraryError:
        return {}


def test_a_lock_whose_holder_died_is_free(tmp_path: Path) -> None:
    with Library.create(tmp_path, color_encoder()) as library:
        (tmp_path / LOCK_HOLDER).write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
        with library.lock():
            pass


def test_many_that_make_one_library_at_once_all_get_it(tmp_path: Path) -> None:
    """Each is told that it is being written, or finds it begun; none sees it half made."""
    code = """
        import sys, time
        from indexer.library import Library
        from indexer.errors import LibraryLocked
        from indexer.testing import color_encoder
        while time.time() < float(sys.argv[2]):
            pass
        try:
            Library.create(sys.argv[1], color_encoder())
        except LibraryLocked:
            pass
    """
    for attempt in range(2):
        at = str(time.time() + 1)
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / str(attempt)), at],
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        assert [process.communicate()[1] for process in processes] == [""] * 4
        Library.open(tmp_path / str(attempt)).close()


def test_searching_while_indexing_sees_whole_batches(tmp_path: Path) -> None:
    folder, place, log = tmp_path / "photos", tmp_path / "library", tmp_path / "log"
    paint_many(folder, 300)
    process = start(folder, place, log, pause=0.05)
    while not held_by_or_none(place):
        time.sleep(0.01)
    counts = []
    with Library.open(place) as library:
        while process.poll() is None:
            with library.catalog.snapshot():
                index = library.index("image")
                _, ids = index.search(np.ones((1, 4), np.float32), len(index))
                photos = held(library)
                assert len(index) == len(photos)
                assert set(ids[0]) == set(photos.values())
                counts.append(len(photos))
        process.communicate()
        assert len(library.index("image")) == 300
    assert counts == sorted(counts)
    assert len(set(counts)) > 3
    assert all(count % BATCH == 0 or count == 300 for count in counts)


def test_a_reader_that_stays_open_follows_removals(tmp_path: Path, encoder: Encoder, monkeypatch) -> None:
    monkeypatch.setattr(
        "indexer.nearest.cache.WORTH_SAVING", 10
    )  # so that the indexes are saved, and removals forgotten
    folder, place = tmp_path / "photos", tmp_path / "library"
    paths = paint_many(folder, 60)
    with Library.create(place, encoder) as writer, Library.open(place) as reader:
        for kept in (60, 40, 20, 5, 0):
            for path in paths[kept:]:
                path.unlink(missing_ok=True)
            if not kept:
                writer.remove(folder)
            else:
                index_sources(writer, [folder], encoder)
            assert len(reader.index("image")) == len(held(reader)) == kept


# full disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight megabytes; a skip where mounting is not allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=8m", "descry-test", str(disk)]
    if not shutil.which("mount") or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_costs_nothing_that_was_committed(
    small_disk: Path, tmp_path: Path, encoder: Encoder
) -> None:
    folder, place = tmp_path / "photos", small_disk / "library"
    paint_many(folder, 1000)
    filler = small_disk / "filler"
    with Library.create(place, encoder) as library:
        filler.write_bytes(bytes(8 * 2**20 - 1_500_000))
        with pytest.raises(LibraryFull, match=str(place)):
            index_sources(library, [folder], encoder)
    kept = assert_sound(place)
    assert 0 < len(kept) < 1000
    filler.unlink()
    with Library.create(place, encoder) as library:
        report = index_sources(library, [folder], encoder)
    assert report.embedded == 1000 - len(kept)
    assert kept.items() <= assert_sound(place).items()


def test_on_a_disk_without_a_byte_left_a_library_is_not_begun_but_can_be_read(
    small_disk: Path, tmp_path: Path, encoder: Encoder
) -> None:
    folder, place = tmp_path / "photos", small_disk / "library"
    paint_many(folder, 100)
    with Library.create(place, encoder) as library:
        index_sources(library, [folder], encoder)
    fill(small_disk)
    assert len(assert_sound(place)) == 100
    with pytest.raises(LibraryFull), Library.create(place, encoder) as library:
        paint_many(folder, 300)
        index_sources(library, [folder], encoder)
    with pytest.raises(LibraryError, match="disk"):
        Library.create(small_disk / "other", encoder)
    assert len(assert_sound(place)) == 100


def fill(disk: Path) -> None:
    """Leaves not a byte."""
    with (disk / "filler").open("ab", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                pass


def test_a_catalog_that_may_not_grow_is_a_full_disk(tmp_path: Path, encoder: Encoder, monkeypatch) -> None:
    """The same without a small disk, for machines where mounting is not allowed."""
    monkeypatch.setattr(indexer.pipeline, "BATCH", 8)
    folder, place = tmp_path / "photos", tmp_path / "library"
    paint_many(folder, 500)
    with Library.create(place, encoder) as library:
        pages = library.catalog.scalar("PRAGMA page_count")
        library.catalog.connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(LibraryFull, match=f"{place} is full or failing .*everything committed before is safe"):
            index_sources(library, [folder], encoder)
    kept = assert_sound(place)
    assert 0 < len(kept) < 500
    assert len(kept) % 8 == 0
    with Library.create(place, encoder) as library:
        assert index_sources(library, [folder], encoder).embedded == 500 - len(kept)

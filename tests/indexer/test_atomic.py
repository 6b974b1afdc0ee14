"""What is written appears whole or not at all, and nobody's file is written through a link or a temporary name."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from painting import paint_many

import indexer.atomic
from indexer import Library, index_sources
from indexer.atomic import atomic_folder, atomic_write, remove_leftovers, temporary_file
from indexer.testing import color_encoder
from search.present.sheet import Sheet


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_fails_half_way_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    place.write_text("before")
    with suppress(RuntimeError), atomic_write(place) as new:
        new.write_text("half")
        raise RuntimeError
    with suppress(RuntimeError), atomic_folder(tmp_path / "folder") as new:
        (new / "half").touch()
        raise RuntimeError
    assert everything(tmp_path) == {"kept": b"before"}


def test_what_succeeds_takes_the_place_of_files_links_and_folders(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    for name in ("file", "link", "folder", "folder link"):
        place = tmp_path / name
        if name == "file":
            place.write_text("old")
        elif name == "folder":
            place.mkdir()
            (place / "old").touch()
        else:
            place.symlink_to(theirs if name == "link" else tmp_path / "folder")
        if "folder" in name:
            with atomic_folder(place) as new:
                (new / "new").write_text(name)
            assert everything(place) == {"new": name.encode()}
        else:
            with atomic_write(place) as new:
                new.write_text("new")
            assert place.read_text() == "new"
    assert theirs.read_text() == "theirs"
    assert not list(tmp_path.glob(".*"))


def test_a_new_file_has_the_rights_that_others_have(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with atomic_write(tmp_path / "new") as new:
        new.touch()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_temporary_file_is_never_one_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer.atomic.os, "urandom", bytes)
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    (tmp_path / f".descry-{bytes(8).hex()}.part").symlink_to(theirs)
    with pytest.raises(FileExistsError):
        temporary_file(tmp_path)
    assert theirs.read_text() == "theirs"


def test_leftovers_of_killed_writers_go(tmp_path: Path) -> None:
    young, old = temporary_file(tmp_path), temporary_file(tmp_path)
    (tmp_path / ".descry-1.part").mkdir()
    (tmp_path / ".descry-1.part" / "content").touch()
    (tmp_path / ".mine.part").touch()
    for path in (old, tmp_path / ".descry-1.part", tmp_path / ".mine.part"):
        os.utime(path, (0, 0))
    remove_leftovers(tmp_path)
    assert everything(tmp_path) == {".mine.part": b"", young.name: b""}


def _page(folder: Path, _library: Library) -> None:
    with Sheet(folder / "page.html") as sheet:
        sheet.finish([])


WRITERS: dict[str, Callable[[Path, Library], object]] = {
    "index": lambda folder, library: index_sources(library, [folder], color_encoder()),
    "optimize": lambda _, library: library.indexes.optimize(
        "image", color_encoder().embed("text", ["red"]), recall=0.9
    ),
    "page": _page,
}

# Names under which temporary files were foreseen once.
FORESEEN = ("image.faiss.new", ".image.faiss.part", ".page.html.part", ".lock-holder.json", ".text_tower.next")


@pytest.mark.parametrize("name", WRITERS)
def test_links_that_were_planted_under_names_of_temporary_files_lead_nowhere(
    name: str, library: Library, photos: Path, tmp_path: Path
) -> None:
    paint_many(photos, 3)
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    for folder in (photos, library.path):
        for foreseen in FORESEEN:
            (folder / foreseen).symlink_to(theirs)
    WRITERS[name](photos, library)
    assert theirs.read_text() == "theirs"

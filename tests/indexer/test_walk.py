"""The folder walk: what is seen, what is passed over and what is refused."""

import inspect
import os
import sys
from pathlib import Path

import pytest
from painting import paint

from indexer.walk import mount_point, walk


def seen(root: Path) -> list[str]:
    """The files that the walk finds, relative to the root, in its order."""
    return [str(source.path.relative_to(root)) for folder in walk(root) for source in folder.sources]


def refused(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): reason for folder in walk(root) for path, reason in folder.failures}


def test_it_finds_photos_and_texts_in_order_of_name(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.PNG", "a.jpg", "c.txt", "b/deep/er/x.webp", "a/z.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert seen(tmp_path) == ["a.jpg", "c.txt", "a/z.md", "b/1.PNG", "b/2.png", "b/deep/er/x.webp"]


def test_it_passes_over_what_is_hidden_and_of_other_kinds(tmp_path: Path) -> None:
    for name in (".hidden.jpg", ".folder/a.jpg", "program.exe", "jpg", "noext", "a.jpg.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    assert seen(tmp_path) == []
    assert refused(tmp_path) == {}


def test_a_hidden_folder_that_is_asked_for_is_walked(tmp_path: Path) -> None:
    paint(tmp_path / ".hidden" / "a.png")
    assert seen(tmp_path / ".hidden") == ["a.png"]


def test_links_are_followed_and_circles_named(tmp_path: Path) -> None:
    paint(tmp_path / "real" / "a.png")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "link.png").symlink_to(tmp_path / "real" / "a.png")
    assert seen(tmp_path) == ["link.png", "link/a.png", "real/a.png"]
    assert refused(tmp_path) == {
        "link/up": "it is a link to a folder that it lies in",
        "real/up": "it is a link to a folder that it lies in",
    }


def test_two_folders_that_link_to_each_other_come_to_an_end(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        paint(tmp_path / name / "x.png")
        (tmp_path / name / "other").symlink_to(tmp_path / other)
    assert seen(tmp_path) == ["a/x.png", "a/other/x.png", "b/x.png", "b/other/x.png"]


def test_a_very_deep_folder_is_walked_to_its_end(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 300)
    deep.mkdir(parents=True)
    (deep / "a.png").touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert len(seen(tmp_path)) == 1
    finally:
        sys.setrecursionlimit(limit)


def test_names_of_every_kind_are_seen(tmp_path: Path) -> None:
    names = [
        "a" * 251 + ".jpg",
        "new\nline.jpg",
        "con.png",
        "näme ☃ 写真.png",
        "q\"uote'.jpg",
        "per%cent?.jpg",
        "..x.jpg",
    ]
    for name in names[:-1]:
        (tmp_path / name).touch()
    assert set(seen(tmp_path)) == set(names[:-1])


def test_a_closed_folder_is_named_and_its_inside_unseen(unprivileged: Path) -> None:
    closed, listed = unprivileged / "closed", unprivileged / "listed"
    for folder in (closed, listed):
        paint(folder / "a.png")
        (folder / "below").mkdir()
    closed.chmod(0)
    listed.chmod(0o444)  # its names can be read, and nothing else
    assert refused(unprivileged) == {
        "closed": "the folder cannot be read: permission denied",
        "listed/a.png": "permission denied",
        "listed/below": "permission denied",
    }
    unseen = [path for folder in walk(unprivileged) for path in folder.unseen]
    assert unseen == [closed, listed / "a.png", listed / "below"]


def test_a_file_comes_alone(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    paint(tmp_path / "b.png")
    (folder,) = walk(tmp_path / "a.png")
    assert [source.path.name for source in folder.sources] == ["a.png"]
    assert folder.unseen == [tmp_path]


def test_the_mount_point_is_that_of_what_a_link_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = tmp_path / "drive"
    (drive / "photos").mkdir(parents=True)
    (tmp_path / "link").symlink_to(drive / "photos")
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == drive)
    assert mount_point(drive / "photos") == mount_point(tmp_path / "link") == mount_point(drive) == drive

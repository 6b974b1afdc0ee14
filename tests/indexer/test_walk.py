"""The folder walk: what is seen, what is passed over and what is refused."""

import inspect
import os
import socket
import sys
from collections import Counter
from pathlib import Path

import pytest
from painting import paint

from indexer.storage.files import Settings
from indexer.walk import mount_point, walk

FOLLOW = Settings(follow_links=True)


def seen(root: Path, settings: Settings | None = None) -> list[str]:
    """The files that the walk finds, relative to the root, in its order."""
    folders = walk(root, {root: settings or Settings()})
    return [str(source.path.relative_to(root)) for folder in folders for source in folder.sources]


def refused(root: Path, settings: Settings | None = None) -> dict[str, str]:
    folders = walk(root, {root: settings or Settings()})
    return {str(path.relative_to(root)): reason for folder in folders for path, reason in folder.failures}


def passed_over(root: Path) -> dict[str, int]:
    return dict(sum((folder.passed_over for folder in walk(root)), Counter()))


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


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
    os.mkfifo(tmp_path / ".descryignore")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.path.relpath(tmp_path / "socket.jpg"))
    assert seen(tmp_path) == []
    assert refused(tmp_path) == {}


def test_a_hidden_folder_that_is_asked_for_is_walked(tmp_path: Path) -> None:
    paint(tmp_path / ".hidden" / "a.png")
    assert seen(tmp_path / ".hidden") == ["a.png"]


def test_links_to_folders_are_not_followed_and_counted(tmp_path: Path) -> None:
    paint(tmp_path / "real" / "a.png")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "link.png").symlink_to(tmp_path / "real" / "a.png")
    assert seen(tmp_path) == ["link.png", "real/a.png"]
    assert refused(tmp_path) == {}
    assert passed_over(tmp_path) == {"link to a folder": 3}
    assert seen(tmp_path / "link") == ["a.png"]


def test_links_are_followed_if_asked_and_circles_named(tmp_path: Path) -> None:
    paint(tmp_path / "real" / "a.png")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "link.png").symlink_to(tmp_path / "real" / "a.png")
    assert seen(tmp_path, FOLLOW) == ["link.png", "link/a.png", "real/a.png"]
    assert refused(tmp_path, FOLLOW) == {
        "link/up": "it is a link to a folder that it lies in",
        "real/up": "it is a link to a folder that it lies in",
    }


def test_two_folders_that_link_to_each_other_come_to_an_end(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        paint(tmp_path / name / "x.png")
        (tmp_path / name / "other").symlink_to(tmp_path / other)
    assert seen(tmp_path, FOLLOW) == ["a/x.png", "a/other/x.png", "b/x.png", "b/other/x.png"]


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


def test_what_no_modality_reads_is_counted_by_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "a.DOC", "b.doc", "c/d.EXE", "noext", ".hidden.exe", "Thumbs.db", "desktop.ini", "a.jpg", "n.txt")
    assert passed_over(tmp_path) == {".DOC": 1, ".doc": 1, ".EXE": 1, "": 1}


def test_folders_of_systems_and_servers_hold_no_photos(tmp_path: Path) -> None:
    names = ["@eaDir", "#recycle", "lost+found", "__MACOSX", "Thumbs", "$RECYCLE.BIN", ".Trash-1000", ".thumbnails"]
    touch(tmp_path, *(f"{name}/a.jpg" for name in names), "__MACOSX/._b.jpg", "._c.jpg", "Thumbs.jpg", "album/lost.jpg")
    assert seen(tmp_path) == ["Thumbs.jpg", "album/lost.jpg"]
    assert seen(tmp_path / "Thumbs") == ["a.jpg"]
    assert seen(tmp_path, Settings(exclude=("!Thumbs/",))) == ["Thumbs.jpg", "Thumbs/a.jpg", "album/lost.jpg"]


RULES = {
    ("*.png",): ["a.jpg", "raw/b.jpg", "raw/deep/c.jpg"],
    ("raw/",): ["a.jpg", "a.png"],
    ("/a.*", "!a.png"): ["a.png", "raw/a.png", "raw/b.jpg", "raw/deep/c.jpg"],
    ("raw/deep",): ["a.jpg", "a.png", "raw/a.png", "raw/b.jpg"],
    ("*", "!*/", "!c.jpg"): ["raw/deep/c.jpg"],
    ("# a.jpg", "", "nothing"): ["a.jpg", "a.png", "raw/a.png", "raw/b.jpg", "raw/deep/c.jpg"],
}


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("where", ["settings", "file"])
def test_rules_are_those_of_gitignore(where: str, rules: tuple[str, ...], tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a.png", "raw/a.png", "raw/b.jpg", "raw/deep/c.jpg")
    if where == "file":
        (tmp_path / ".descryignore").write_bytes("\r\n".join(rules).encode("utf-8-sig"))
    assert sorted(seen(tmp_path, Settings(exclude=rules) if where == "settings" else None)) == RULES[rules]


def test_the_nearest_rules_win(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b/a.png", "b/c/a.png")
    (tmp_path / ".descryignore").write_text("*.png")
    (tmp_path / "b" / ".descryignore").write_text("!*.png\n/c/")
    assert seen(tmp_path) == ["b/a.png"]


def test_rules_that_cannot_be_read_leave_the_folder_as_it_is(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b/a.png")
    (tmp_path / "b" / ".descryignore").write_bytes(b"a\0b")
    assert seen(tmp_path) == ["a.png"]
    assert refused(tmp_path) == {"b": "its .descryignore cannot be read: it is not text: it holds zero bytes"}
    assert [path for folder in walk(tmp_path) for path in folder.unseen] == [tmp_path / "b"]

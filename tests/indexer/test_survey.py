"""Roots: what is one, what a run over a part of one refreshes, and what is remembered of it."""

from pathlib import Path

import pytest
from painting import paint, shade

from indexer import Encoder, Library, index_sources
from indexer.errors import PathError
from indexer.report import Report


def painted(root: Path, *names: str) -> None:
    """Paints photos, no two of one content."""
    for name in names:
        paint(root / name, shade(sum(place * ord(letter) for place, letter in enumerate(name, start=1))))


def names(library: Library) -> list[str]:
    sql = "SELECT folders.path, name FROM files JOIN folders ON folders.id = folder_id"
    return sorted(f"{Path(folder).name}/{name}" for folder, name in library.catalog.connection.execute(sql))


def roots(library: Library) -> set[Path]:
    return library.catalog.files.roots().keys()


@pytest.fixture
def run(library: Library, encoder: Encoder):
    def run(*paths: Path, **options) -> Report:
        return index_sources(library, paths, encoder, **options)

    return run


def test_a_part_of_a_root_is_no_root_and_alone_refreshed(library: Library, photos: Path, run) -> None:
    painted(photos, "a.png", "sub/b.png", "sub/c.png", "other/d.png")
    run(photos)
    (photos / "sub" / "b.png").unlink()
    (photos / "other" / "d.png").unlink()
    painted(photos, "e.png", "sub/new.png")
    assert run(photos / "sub").removed == 1
    assert names(library) == ["other/d.png", "photos/a.png", "sub/c.png", "sub/new.png"]
    run(photos / "e.png")
    assert roots(library) == {photos}
    run(photos)
    assert names(library) == ["photos/a.png", "photos/e.png", "sub/c.png", "sub/new.png"]


@pytest.mark.parametrize("apart", [".hidden", "Thumbs", "excluded", "linked"])
def test_what_a_root_does_not_come_to_can_be_a_root_and_stays(
    apart: str, library: Library, photos: Path, tmp_path: Path, run
) -> None:
    painted(photos, "a.png")
    if apart == "linked":
        painted(tmp_path / "elsewhere", "b.png")
        (photos / apart).symlink_to(tmp_path / "elsewhere")
    else:
        painted(photos, f"{apart}/b.png")
    run(photos, exclude=["excluded/"])
    assert names(library) == ["photos/a.png"]
    for _ in range(2):
        run(photos / apart)
        assert roots(library) == {photos, photos / apart}
        run(photos)
        assert names(library) == sorted(["photos/a.png", f"{apart}/b.png"])
    (photos / apart / "b.png").unlink()
    painted(photos / apart, "c.png")
    run(*roots(library))
    assert names(library) == sorted(["photos/a.png", f"{apart}/c.png"])


def test_rules_are_remembered_and_forgotten(library: Library, photos: Path, run) -> None:
    painted(photos, "a.png", "raw/b.png", "raw/c.png")
    run(photos, exclude=["raw/"])
    assert names(library) == ["photos/a.png"]
    assert run(photos).embedded == 0
    run(photos, exclude=["c.png"])
    assert names(library) == ["photos/a.png", "raw/b.png"]
    run(photos, exclude=[])
    assert names(library) == ["photos/a.png", "raw/b.png", "raw/c.png"]
    library.remove(photos)
    assert library.catalog.scalar("SELECT count(*) FROM meta WHERE key LIKE 'root %'") == 0


def test_what_is_excluded_later_goes(library: Library, photos: Path, run) -> None:
    painted(photos, "a.png", "raw/b.png")
    run(photos)
    (photos / ".descryignore").write_text("raw/\n")
    assert run(photos).removed == 1
    assert names(library) == ["photos/a.png"]


def test_a_part_obeys_the_rules_of_its_root_and_may_have_its_own(library: Library, photos: Path, run) -> None:
    painted(photos, "sub/a.png", "sub/b.png", "sub/deep/c.png", "sub/deep/d.png")
    run(photos, exclude=["b.png"])
    run(photos / "sub")
    assert names(library) == ["deep/c.png", "deep/d.png", "sub/a.png"]
    run(photos / "sub" / "deep", exclude=["c.png"])
    assert roots(library) == {photos, photos / "sub" / "deep"}
    for _ in range(2):
        run(photos)
        assert names(library) == ["deep/d.png", "sub/a.png"]


def test_following_links_is_remembered(photos: Path, tmp_path: Path, run) -> None:
    painted(tmp_path / "elsewhere", "b.png")
    (photos / "link").symlink_to(tmp_path / "elsewhere")
    assert run(photos).embedded == 0
    assert run(photos, follow_links=True).embedded == 1
    assert run(photos).unchanged == 1
    assert run(photos, follow_links=False).removed == 1


def test_what_is_passed_over_is_counted_and_remembered(library: Library, photos: Path, run) -> None:
    painted(photos, "a.png")
    for name in ("a.XYZ", "b.XYZ", "sub/c.MP9"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).touch()
    assert run(photos).passed_over == {".XYZ": 2, ".MP9": 1}
    assert run(photos / "sub").passed_over == {".MP9": 1}
    assert library.catalog.files.passed_over() == {".XYZ": 2, ".MP9": 1}
    (photos / "a.XYZ").unlink()
    run(photos)
    assert library.catalog.files.passed_over() == {".XYZ": 1, ".MP9": 1}


def test_rules_and_places_that_make_no_sense_are_refused(photos: Path, run) -> None:
    import os

    with pytest.raises(PathError, match="makes no sense"):
        run(photos, exclude=["!"])
    os.mkfifo(photos / "pipe.jpg")
    with pytest.raises(PathError, match="neither a folder nor a file"):
        run(photos / "pipe.jpg")

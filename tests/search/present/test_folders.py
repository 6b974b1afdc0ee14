"""Answers copied and linked into folders: names, order, what is there already, and what goes wrong."""

import os
import shutil
from pathlib import Path

import pytest
from painting import later, paint

from indexer import Item
from indexer.errors import PathError
from search import Hit
from search.hits import why_unseen
from search.present.folders import Copies, question_folder
from search.present.sinks import Answer, open_sinks


def hits(*paths: Path) -> list[Hit]:
    return [Hit(Item("image", path), 0.5, unseen=why_unseen(path)) for path in paths]


def put(option: str, folder: Path, *answers: list[Hit], many: bool = False) -> tuple[list[str], list[str]]:
    """What the sink says it did, and the names of what failed."""
    with open_sinks({option: str(folder)}, many=many) as sinks:
        for number, answer in enumerate(answers):
            sinks.take(f"question {number}", answer)
        lines, failures = sinks.finish()
    return lines, [failure.path.name for failure in failures]


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("option", ["copy-to", "link-to"])
def test_names_keep_the_order_and_files_of_one_name_stay_apart(option: str, photos: Path, tmp_path: Path) -> None:
    first, second, third = (paint(photos / place) for place in ("b.png", "x/dog.png", "y/dog.png"))
    said, failed = put(option, tmp_path / "new" / "out", hits(first, second, third))
    assert names(tmp_path / "new" / "out") == ["01_b.png", "02_dog.png", "03_dog.png"]
    verb = {"copy-to": "copied", "link-to": "linked"}[option]
    assert (said, failed) == ([f"3 {verb} to {tmp_path / 'new' / 'out'}"], [])
    assert (tmp_path / "new" / "out" / "02_dog.png").read_bytes() == second.read_bytes()


def test_a_copy_keeps_its_time_and_a_link_leads_to_the_photo(photos: Path, tmp_path: Path) -> None:
    photo = paint(photos / "dog.png")
    later(photo, -1000)
    put("copy-to", tmp_path / "copies", hits(photo))
    put("link-to", tmp_path / "links", hits(photo))
    copy, link = tmp_path / "copies" / "01_dog.png", tmp_path / "links" / "01_dog.png"
    assert (copy.is_symlink(), copy.stat().st_mtime) == (False, photo.stat().st_mtime)
    assert (link.is_symlink(), link.readlink()) == (True, photo)


def test_a_hundred_hits_sort_by_name_too(photos: Path, tmp_path: Path) -> None:
    many = [paint(photos / f"{number}.bmp") for number in range(100)]
    put("link-to", tmp_path / "out", hits(*many))
    assert [name.split("_")[1] for name in names(tmp_path / "out")] == [path.name for path in many]


def test_a_file_that_is_found_twice_is_put_there_once_under_its_best_rank(photos: Path, tmp_path: Path) -> None:
    text, other = photos / "a.txt", paint(photos / "b.png")
    text.write_text("words")
    passages = [Hit(Item("text", text, part, "words"), 0.5) for part in ("p1", "p2")]
    put("copy-to", tmp_path / "out", [*passages, *hits(other)])
    assert names(tmp_path / "out") == ["01_a.txt", "03_b.png"]


@pytest.mark.parametrize("option", ["copy-to", "link-to"])
def test_the_same_again_changes_nothing(option: str, photos: Path, tmp_path: Path) -> None:
    found = hits(paint(photos / "a.png", "red"), paint(photos / "b.png", "blue"))
    put(option, tmp_path / "out", found)
    (said,), _ = put(option, tmp_path / "out", found)
    assert names(tmp_path / "out") == ["01_a.png", "02_b.png"]
    assert said.startswith("0 ")
    assert "2 there before" in said


@pytest.mark.parametrize("option", ["copy-to", "link-to"])
def test_what_lies_there_is_never_written_over(option: str, photos: Path, tmp_path: Path) -> None:
    other = paint(tmp_path / "out" / "01_dog.png", "blue")
    before = other.read_bytes()
    (tmp_path / "out" / "01_dog (2).png").symlink_to("nowhere")
    put(option, tmp_path / "out", hits(paint(photos / "dog.png", "red")))
    assert names(tmp_path / "out") == ["01_dog (2).png", "01_dog (3).png", "01_dog.png"]
    assert other.read_bytes() == before
    assert (tmp_path / "out" / "01_dog (3).png").read_bytes() == (photos / "dog.png").read_bytes()


def test_what_is_gone_or_closed_is_named_and_the_rest_is_copied(unprivileged: Path) -> None:
    good, closed = paint(unprivileged / "good.png"), paint(unprivileged / "closed.png")
    closed.chmod(0)
    said, failed = put("copy-to", unprivileged / "out", hits(unprivileged / "gone.png", closed, good))
    assert failed == ["gone.png", "closed.png"]
    assert names(unprivileged / "out") == ["03_good.png"]
    assert "1 copied" in said[0]


def test_nothing_found_makes_no_folder(tmp_path: Path) -> None:
    assert put("copy-to", tmp_path / "out", []) == ([], [])
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_folder_s_place_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    paint(tmp_path / "out.png")
    with pytest.raises(PathError, match="is a file: name a folder"):
        Copies(str(tmp_path / "out.png"))


@pytest.mark.parametrize("option", ["copy-to", "link-to"])
def test_a_folder_that_may_not_be_written_is_one_clear_line(option: str, unprivileged: Path) -> None:
    photo = paint(unprivileged / "a.png")
    (unprivileged / "out").mkdir(mode=0o500)
    with pytest.raises(PathError, match="out cannot be written \\(permission denied\\)"):
        put(option, unprivileged / "out", hits(photo))


def test_a_full_disk_ends_it_tells_what_is_done_and_leaves_nothing_half(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.copy2

    def copy(source: Path, place: Path) -> None:
        if source.name == "b.png":
            place.write_bytes(b"half")
            raise OSError(28, os.strerror(28))
        real(source, place)

    monkeypatch.setattr(shutil, "copy2", copy)
    found = hits(*(paint(photos / f"{name}.png") for name in "abc"))
    with pytest.raises(PathError, match="cannot be written \\(no space left on device\\); 1 copied before"):
        put("copy-to", tmp_path / "out", found)
    assert names(tmp_path / "out") == ["01_a.png"]


def test_of_many_questions_each_has_a_folder(photos: Path, tmp_path: Path) -> None:
    red, blue = paint(photos / "red.png", "red"), paint(photos / "blue.png", "blue")
    put("copy-to", tmp_path / "out", hits(red, blue), hits(red), many=True)
    assert names(tmp_path / "out") == [
        "001 question 0/01_red.png",
        "001 question 0/02_blue.png",
        "002 question 1/01_red.png",
    ]


@pytest.mark.parametrize(
    ("question", "folder"),
    [
        ("a dog on the beach", "007 a dog on the beach"),
        ("../../etc", "007 etc"),
        ('what: "is" <this>?', "007 what_ _is_ _this"),
        ("海の犬", "007 海の犬"),
        ("..", "007"),
        ("x" * 300, "007 " + "x" * 220),
    ],
)
def test_a_question_s_folder_has_a_name_that_every_disk_takes(question: str, folder: str) -> None:
    assert question_folder(Answer(question, [], 7)) == folder


def test_a_name_that_is_too_long_for_a_rank_is_cut_before_its_suffix(photos: Path, tmp_path: Path) -> None:
    put("copy-to", tmp_path / "out", hits(paint(photos / ("ä" * 124 + ".png"))))
    (name,) = names(tmp_path / "out")
    assert name == f"01_{'ä' * 108}.png"

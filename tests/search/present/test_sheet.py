"""The contact sheet, read as a browser reads it."""

import os
import resource
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import pytest
from painting import paint
from PIL import Image

from indexer import Item
from indexer.errors import PathError
from search import Hit
from search.hits import GONE
from search.present.sinks import open_sinks


@dataclass
class Page(HTMLParser):
    """The elements of a page, and its text by the element that holds it."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    inside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in {"meta", "img"}:
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.inside:
            self.texts.setdefault(self.inside[-1], []).append(data.strip())

    def all(self, tag: str, attribute: str) -> list[str]:
        return [attributes[attribute] for name, attributes in self.elements if name == tag]


def sheet(path: Path, *answers: tuple[str, list[Hit]]) -> Page:
    with open_sinks({"html": str(path)}, many=len(answers) > 1) as sinks:
        for question, hits in answers:
            sinks.take(question, hits)
        sinks.finish()
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.inside == []
    return page


FACTS = {
    "taken": "2023-05-04T12:30:59",
    "camera": "Canon EOS R5",
    "lens": "RF 24-70",
    "width": 640,
    "height": 427,
    "modified": "2024-01-01T00:00:00",
}


def test_a_card_has_picture_rank_score_name_facts_and_the_way_to_the_photo(photos: Path, tmp_path: Path) -> None:
    photo = paint(photos / "a dog & #1 'ü'.png", "red")
    page = sheet(tmp_path / "out.html", ('a <dog> & "cat"', [Hit(Item("image", photo, facts=FACTS, id=12), 0.4321)]))
    assert page.texts["title"] == page.texts["h1"] == ['a <dog> & "cat"']
    (address,) = page.all("a", "href")
    assert Path(unquote(urlsplit(address).path)) == photo
    (source,) = page.all("img", "src")
    with Image.open(urlopen(source)) as picture:
        assert picture.getpixel((4, 4)) == pytest.approx((254, 0, 0), abs=3)
    assert page.all("img", "alt") == [photo.name]
    assert page.texts["span"] == ["0.432"]
    assert (page.texts["b"], page.texts["figcaption"]) == (["1"], [photo.name])
    facts = ["2023-05-04 12:30", "Canon EOS R5, RF 24-70", "640 \N{MULTIPLICATION SIGN} 427"]
    assert page.texts["small"][1:] == [*facts, str(photos), "id:12"]


def test_a_shot_of_a_film_is_shown_at_its_second_and_plays_from_there(photos: Path, tmp_path: Path) -> None:
    path = photos / "film.mp4"
    page = sheet(
        tmp_path / "out.html", ("a question", [Hit(Item("video", path, "t62.5", facts={"duration": 90}), 0.4)])
    )
    assert page.all("a", "href") == [f"{path.as_uri()}#t=62.5"]
    assert page.texts["small"][1:4] == ["at 1:02", "1:30 long", str(photos)]


def test_it_needs_no_network_and_runs_no_scripts(photos: Path, tmp_path: Path) -> None:
    page = sheet(tmp_path / "out.html", ("<script>alert(1)</script>", [Hit(Item("image", paint(photos / "a.png")), 1)]))
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe"})
    assert all(source.startswith("data:") for source in page.all("img", "src"))
    assert "http" not in (tmp_path / "out.html").read_text().replace("http-equiv", "")


def test_what_has_no_picture_says_why_or_what_it_says(photos: Path, tmp_path: Path) -> None:
    broken = photos / "broken.png"
    broken.write_bytes(b"broken")
    hits = [
        Hit(Item("image", photos / "gone.png"), 0.3, unseen=GONE),
        Hit(Item("image", broken), 0.2),
        Hit(Item("image", paint(photos / "good.png")), 0.15),
        Hit(Item("text", photos / "notes.txt", "p1", "5 < 6 & <b>7</b>"), 0.1),
    ]
    page = sheet(tmp_path / "out.html", ("everything", hits))
    assert page.texts["p"] == ["the file is gone", "it cannot be read now", "5 < 6 & <b>7</b>"]
    assert page.all("img", "alt") == ["good.png"]


def test_a_file_s_own_date_is_not_taken_for_the_photo_s(photos: Path, tmp_path: Path) -> None:
    item = Item("image", paint(photos / "a.png"), facts={"modified": "2024-01-01T00:00:00"})
    assert "file of 2024-01-01 00:00" in sheet(tmp_path / "out.html", ("a", [Hit(item, 1)])).texts["small"]


def test_what_was_asked_for_beside_the_score_is_told(photos: Path, tmp_path: Path) -> None:
    hit = Hit(Item("image", paint(photos / "a.png")), 0.5, probability=0.873, alike=2)
    told = sheet(tmp_path / "out.html", ("a", [hit])).texts["small"]
    assert told[1:-1] == ["fits with a probability of 87%", "2 more alike"]


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(photos: Path, tmp_path: Path) -> None:
    found = [Hit(Item("image", paint(photos / "a.png")), 1)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # the disk takes no more of a file
    try:
        with pytest.raises(PathError, match=r"out\.html cannot be written"):
            sheet(tmp_path / "out.html", ("a", found))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_many_questions_are_one_page_and_an_empty_answer_says_so(photos: Path, tmp_path: Path) -> None:
    found = [Hit(Item("image", paint(photos / "a.png")), 1)]
    page = sheet(tmp_path / "out.html", ("first", found), ("second", []))
    assert page.texts["h1"] == ["first", "second"]
    assert [text for text in page.texts["small"] if "found" in text] == ["1 found", "nothing found"]


def test_a_page_that_is_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    sheet(tmp_path / "out.html", ("old", []))
    before = (tmp_path / "out.html").read_bytes()
    with pytest.raises(KeyboardInterrupt), open_sinks({"html": str(tmp_path / "out.html")}) as sinks:
        sinks.take("new", [])
        raise KeyboardInterrupt
    assert (tmp_path / "out.html").read_bytes() == before
    assert os.listdir(tmp_path) == ["out.html"]  # noqa: PTH208  names are enough


@pytest.mark.parametrize(
    ("name", "reason"),
    [("dog.jpg", "call it dog.html"), ("page", "call it page.html"), ("nowhere/a.html", "cannot be written")],
)
def test_a_photo_s_name_or_a_place_that_is_not_there_is_refused_before_the_search(
    name: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(PathError, match=reason), open_sinks({"html": str(tmp_path / name)}):
        pass
    assert not list(tmp_path.iterdir())

"""The map as a page: it holds what it shows, whatever files are called, and fits its budget."""

import json
import re
import shutil
import subprocess
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from painting import paint
from PIL import Image

from indexer.errors import PathError
from indexer.report import Watcher
from search.present.map_page import HERE, SHEET, SIDES, Spot, thumbnail_side, write_map
from search.present.sheet import check_page


class Page(HTMLParser):
    """The scripts of a page by their type, and whatever it would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.fetched: list[str] = []
        self._script = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = dict(attrs).get("type") or "code" if tag == "script" else ""
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - as the parser calls it
        self._script = ""

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data


def written(folder: Path, spots: list[Spot], groups: list[tuple[str, ...]]) -> tuple[Page, dict[str, Any]]:
    path = folder / "map.html"
    write_map(path, spots, groups, title="</title>&", count="3 photos", watcher=Watcher())
    page = Page(path.read_text(encoding="utf-8"))
    return page, json.loads(page.scripts["application/json"])


def test_photos_lie_where_they_were_laid_out_under_their_names(tmp_path: Path) -> None:
    red, blue = (paint(tmp_path / "photos" / f"{color}.png", color) for color in ("red", "blue"))
    _, data = written(tmp_path, [Spot(red, 0.25, 0.5, 0), Spot(blue, 1, 0, 1)], [("warm", "rose"), ("sea",)])
    assert data["photos"] == [[2500, 5000, 0, 0, "red.png"], [10000, 0, 1, 0, "blue.png"]]
    assert data["folders"] == [{"shown": f"{red.parent}/", "uri": f"{red.parent.as_uri()}/"}]
    assert data["groups"][0] == {"words": ["warm", "rose"], "x": 2500, "y": 5000, "photos": 1}


def test_thumbnails_stand_in_the_sheets_in_the_order_of_the_photos(tmp_path: Path) -> None:
    colors = ["red", "blue", "lime", "yellow"]
    paths = [paint(tmp_path / f"{color}.png", color) for color in colors]
    (tmp_path / "blue.png").unlink()
    _, data = written(tmp_path, [Spot(path, 0.5, 0.5, 0) for path in paths], [("all",)])
    (sheet,) = data["sheets"]
    picture = Image.open(BytesIO(b64decode(sheet.removeprefix("data:image/jpeg;base64,"))))
    side = data["tile"]
    seen = [picture.getpixel((side * place + side // 2, side // 2)) for place in range(4)]
    wanted = [(255, 0, 0), (0x88, 0x88, 0x88), (0, 255, 0), (255, 255, 0)]  # grey for the one that is gone
    for found, color in zip(seen, wanted, strict=True):
        assert isinstance(found, tuple)
        assert all(abs(a - b) < 6 for a, b in zip(found, color, strict=True))


def test_more_photos_than_a_sheet_takes_go_on_in_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.present.map_page.SHEET", 2 * SIDES[0])
    paths = [paint(tmp_path / f"{number}.png") for number in range(5)]
    _, data = written(tmp_path, [Spot(path, 0.5, 0.5, 0) for path in paths], [("all",)])
    sizes = [Image.open(BytesIO(b64decode(sheet.partition(",")[2]))).size for sheet in data["sheets"]]
    assert data["columns"] == 2
    assert sizes == [(320, 320), (160, 160)]


@pytest.mark.parametrize(
    "name",
    ["</script>.jpg", "<!--<script>.jpg", "@data@.jpg", "a\"b'c\\.jpg", "ünïcode 雪.jpg", "50% #1?.jpg", "a\nb.jpg"],
)
def test_no_name_of_a_file_breaks_out_of_the_page(tmp_path: Path, name: str) -> None:
    path = tmp_path / name  # what holds a slash is a folder and a name
    page, data = written(tmp_path, [Spot(path, 0.5, 0.5, 0)], [("</script><img src=x>",)])
    assert page.scripts["code"].strip() == (HERE / "map.js").read_text(encoding="utf-8").strip()
    ((*_, address),) = data["photos"]
    assert unquote(address) == path.name
    assert data["folders"][0]["uri"] + address == path.as_uri()
    assert page.fetched == []


def test_a_name_that_is_no_text_has_an_address_all_the_same(tmp_path: Path) -> None:
    _, data = written(tmp_path, [Spot(tmp_path / "caf\udce9.jpg", 0.5, 0.5, 0)], [("all",)])
    assert data["photos"][0][4] == "caf%E9.jpg"


def test_nothing_is_fetched_from_elsewhere(tmp_path: Path) -> None:
    page, _ = written(tmp_path, [], [])
    text = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert page.fetched == []
    assert not re.search(r"https?:|//[a-z]+\.[a-z]", text)
    assert "default-src 'none'" in text


def test_thumbnails_are_as_large_as_the_page_can_bear() -> None:
    assert thumbnail_side(1) == SIDES[0]
    assert thumbnail_side(8090) == 64
    assert thumbnail_side(10**6) == SIDES[-1]
    assert all(side % 8 == 0 and side <= SHEET for side in SIDES)


def test_a_place_where_no_page_can_be_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"call it map\.html"):
        check_page(tmp_path / "map.png")
    with pytest.raises(PathError, match="no folder"):
        check_page(tmp_path / "missing" / "map.html")


def test_what_cannot_be_written_leaves_nothing_behind(unprivileged: Path) -> None:
    unprivileged.chmod(0o500)
    with pytest.raises(PathError, match="cannot be written"):
        written(unprivileged, [], [])
    assert list(unprivileged.iterdir()) == []


# A page without a screen: what the script draws, and what it does when it is pointed at, is told as JSON.
BROWSER = """
const fs = require("fs");
const [script, json] = process.argv.slice(2).map((path) => fs.readFileSync(path, "utf8"));
const told = { drawn: [], names: [], opened: [] };
const context = new Proxy({}, { get: (_, name) => ({
  drawImage: (_sheet, ...numbers) => told.drawn.push([context.globalAlpha, ...numbers]),
  fillText: (name) => told.names.push(name),
  measureText: () => ({ width: 60 }),
})[name] ?? (name === "globalAlpha" ? told.alpha : () => {}), set: (_, name, value) => {
  if (name === "globalAlpha") told.alpha = value;
  return true;
} });
const element = () => ({ style: {}, handlers: {}, append() {}, setPointerCapture() {}, getContext: () => context,
  addEventListener(name, handler) { this.handlers[name] = handler; }, offsetWidth: 280, offsetHeight: 340,
  offsetLeft: 0, offsetTop: 0 });
const elements = {};
global.document = { createElement: element,
  getElementById: (id) => (elements[id] ??= { ...element(), textContent: id === "data" ? json : "" }) };
document.getElementById("card").children = [element(), element(), element()];
global.window = { devicePixelRatio: 2, open: (uri) => told.opened.push(uri) };
Object.assign(global, { innerWidth: 800, innerHeight: 600, addEventListener() {}, Image: class { complete = true; },
  requestAnimationFrame: (callback) => callback(), setTimeout: () => 0 });
eval(script);
const { map, card, filter } = elements;
const point = (x, y) => (
  { clientX: x, clientY: y, pointerId: 1, pointerType: "mouse", preventDefault() {}, deltaY: -900 });
const [, , , , , left, top, side] = told.drawn[0];
const [x, y] = [left + side / 2, top + side / 2];
map.handlers.pointermove(point(x, y));
told.card = [card.style.display, card.children[2].textContent];
map.handlers.pointerdown(point(x, y));
map.handlers.pointerup(point(x, y));
told.before = told.drawn.at(-1);
map.handlers.wheel(point(x, y));
told.after = told.drawn.at(-1);
told.drawn = [];
filter.handlers.input({ target: { value: "sea" } });
console.log(JSON.stringify(told));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: nothing else here runs the script")
def test_the_script_draws_names_shows_opens_zooms_and_filters(tmp_path: Path) -> None:
    red, blue = (paint(tmp_path / f"{color} 1.png", color) for color in ("red", "blue"))
    _, data = written(tmp_path, [Spot(red, 0, 0, 0), Spot(blue, 1, 1, 1)], [("warm", "rose"), ("sea",)])
    for name, content in (("browser.cjs", BROWSER), ("data.json", json.dumps(data))):
        (tmp_path / name).write_text(content, encoding="utf-8")
    command = ["node", "browser.cjs", str(HERE / "map.js"), "data.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["names"][:2] == ["warm", "sea"]
    assert told["card"] == ["block", str(red)]
    assert told["opened"] == [red.as_uri()]
    assert told["after"][-1] > told["before"][-1]  # tiles grow
    assert [alpha < 1 for alpha, *_ in told["drawn"][:2]] == [True, False]  # "sea" is not warm

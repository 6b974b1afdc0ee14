"""The page in a real browser: what a person does with it works, with a mouse, a keyboard or a finger."""

from __future__ import annotations

import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from painting import paint
from PIL import Image

from indexer import Encoder, Library, index_sources
from indexer.storage.full_text import Line
from indexer.storage.tags import Tag

AXE = Path(__file__).parents[3] / "web" / "node_modules" / "axe-core" / "axe.min.js"

HOSTILE = "<img src=x onerror=alert(1)>.png"

# Left, top, width and height of the first outline, as shares of its photo.
WITHIN_ITS_PHOTO = """(() => {
  const outline = document.querySelector(".read");
  const { x, y, width, height } = outline.getBoundingClientRect();
  const [photo] = [...outline.parentElement.querySelectorAll("img")]
    .map((one) => one.getBoundingClientRect())
    .sort((one, other) => other.width - one.width);
  return [(x - photo.x) / photo.width, (y - photo.y) / photo.height, width / photo.width, height / photo.height];
})()"""

# A slow machine takes its time to start a page.
PATIENCE = 60_000

Open = Callable[..., Any]


@pytest.fixture
def opened(chromium: Any, address: str) -> Iterator[Open]:
    """Opens the page in a window of its own; what its scripts complain of fails the test."""
    complaints: list[str] = []
    contexts = []

    def open(
        path: str = "", *, wait: str = ".tile.loaded", before: Callable[[Any], object] = id, **options: Any
    ) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        before(page)
        page.goto(f"{address}{path}")
        if wait:
            page.wait_for_selector(wait)
        return page

    yield open
    for context in contexts:
        context.close()
    assert not complaints


def grid(days: np.ndarray, shapes: np.ndarray) -> bytes:
    """What the server says of photos of those days and shapes."""
    ids = np.arange(1, len(days) + 1)
    return ids.astype("<u4").tobytes() + days.astype("<i4").tobytes() + shapes.astype("<u2").tobytes()


def until(page: Any, expression: str) -> None:
    """Waits for an expression of the page to be true. The page itself is not allowed to evaluate words."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(30)


def first(page: Any) -> str:
    """What the first photo is called, once it is known."""
    until(page, "document.querySelector('[data-photo=\"0\"]')?.ariaLabel?.includes('.')")
    return str(page.get_attribute('[data-photo="0"]', "aria-label")).split(",")[0]


def ask(page: Any, words: str) -> None:
    with page.expect_response(re.compile("api/search")):
        page.get_by_role("combobox", name="Ask").fill(words)
        page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('photo'), h1:has-text('Nothing'), h1:has-text('words')")


def test_one_types_and_sees_the_right_photo_and_goes_back(opened: Open) -> None:
    page = opened()
    ask(page, "cyan")
    assert first(page) == "cyan.png"
    assert page.url.endswith("?q=cyan")
    ask(page, "red -blue")
    assert first(page) == "red.png"
    assert page.locator(".chip").count() == 2
    ask(page, "+ green")
    assert first(page) == "yellow.png"
    page.reload()
    assert first(page) == "yellow.png"
    page.go_back()
    page.go_back()
    until(page, "document.querySelectorAll('.chip').length == 1")
    until(page, "document.querySelector('[data-photo=\"0\"]')?.ariaLabel?.startsWith('cyan.png')")
    page.get_by_role("button", name="Clear").click()
    page.wait_for_selector("h1:has-text('8 photos')")


def test_a_chip_is_turned_round_weighed_and_removed(opened: Open) -> None:
    page = opened("?q=red&q=green", wait=".chip")
    assert first(page) == "yellow.png"
    page.locator(".chip").nth(1).get_by_role("button", name="Added").click()
    page.wait_for_url("**/?q=red&q=-1%3Agreen")
    page.locator(".chip").nth(0).get_by_role("button", name="Weight").click()
    page.wait_for_url("**/?q=2%3Ared&q=-1%3Agreen")
    page.locator(".chip").nth(1).get_by_role("button", name="Remove").click()
    page.wait_for_url("**/?q=2%3Ared")
    assert first(page) == "red.png"


def test_a_photo_is_picked_dropped_or_pasted(opened: Open, photos: Path, tmp_path: Path) -> None:
    mine = paint(tmp_path / "mine.png", (10, 240, 20))
    page = opened()
    page.set_input_files('input[type="file"]', mine)
    page.wait_for_selector(".chip .what img")
    page.wait_for_selector("h1:has-text('fit')")
    assert first(page) == "green.png"
    transfer = page.evaluate_handle(
        """async (bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
            return transfer;
        }""",
        list((photos / "blue.png").read_bytes()),
    )
    with page.expect_response(re.compile("api/search")):
        page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
        page.wait_for_selector(".drop")
        page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    until(page, "document.querySelector('[data-photo=\"0\"]')?.ariaLabel?.startsWith('blue.png')")


def test_a_detail_is_marked_and_found(opened: Open, library: Library, encoder: Encoder, photos: Path) -> None:
    halves = Image.new("RGB", (80, 40), "blue")
    halves.paste((255, 0, 0), (40, 0, 80, 40))
    halves.save(photos / "halves.png")
    index_sources(library, [photos / "halves.png"], encoder)
    page = opened("?filter=path%3Dhalves*")
    page.click(".tile")
    page.get_by_role("button", name="Find a detail").click()
    picture = page.locator(".cropper img")
    picture.wait_for()
    box = picture.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + box["height"] * 0.9, steps=4)
    page.mouse.up()
    with page.expect_response(re.compile("api/search")):
        page.get_by_role("button", name="Find this").click()
    page.wait_for_selector(".pswp", state="detached")
    until(page, "document.querySelector('[data-photo=\"0\"]')?.ariaLabel?.startsWith('red.png')")


def test_facets_narrow_and_chips_widen_again(opened: Open, library: Library) -> None:
    red = next(iter(library.catalog.ids("image", "files.name = 'red.png'"))).item()
    library.catalog.tags.replace(["warm"], [Tag(red, "warm", 0.9)])
    page = opened()
    page.get_by_role("complementary").get_by_role("button", name="warm").click()
    page.wait_for_selector("h1:has-text('1 photos')")
    assert first(page) == "red.png"
    page.locator(".chip.filter").get_by_role("button", name="Only these").click()
    page.wait_for_selector("h1:has-text('7 photos')")
    page.locator(".chip.filter").get_by_role("button", name="Remove").click()
    page.wait_for_selector("h1:has-text('8 photos')")


def test_words_and_filters_are_offered_while_one_types(opened: Open) -> None:
    page = opened()
    page.get_by_role("combobox", name="Ask").press_sequentially("a happy do")
    page.get_by_role("option", name="a happy dog", exact=True).wait_for()
    page.get_by_role("combobox", name="Ask").fill("pn")
    page.get_by_role("option", name="png").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?filter=type%3Dpng")


def test_everything_goes_by_keyboard(opened: Open) -> None:
    page = opened("?sort=name")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Ask"
    page.keyboard.press("Escape")
    page.focus('[data-photo="0"]')
    at = "document.activeElement.dataset.photo"
    page.keyboard.press("End")
    until(page, f"{at} == 7")
    page.keyboard.press("ArrowLeft")
    until(page, f"{at} == 6")
    page.keyboard.press("Home")
    until(page, f"{at} == 0")
    page.keyboard.press("x")
    page.wait_for_selector(".selection:has-text('1 selected')")
    page.keyboard.press("Escape")
    page.wait_for_selector(".selection", state="detached")
    page.keyboard.press("Enter")
    page.wait_for_selector(".panel h2:has-text('blue.png')")
    until(page, "document.activeElement.closest('.pswp') !== null")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".panel h2:has-text('cyan.png')")
    page.keyboard.press("Escape")
    page.wait_for_selector(".pswp", state="detached")
    until(page, f"{at} == 1")
    with page.expect_response(re.compile("api/search")):
        page.keyboard.press("s")
    page.wait_for_url(re.compile(r"\?q=id%3A\d+$"))


def test_marks_refine_a_question_and_are_kept_in_its_address(opened: Open) -> None:
    page = opened("?q=white")
    assert first(page) == "white.png"
    order = "[...document.querySelectorAll('.tile')].map((tile) => tile.ariaLabel.slice(0, 4))"
    until(page, f"{order}.indexOf('blue') > {order}.indexOf('yell')")
    page.locator('[aria-label^="blue.png"]').focus()
    with page.expect_response(re.compile("api/search")):
        page.keyboard.press("+")
    page.wait_for_selector(".mark.right")
    page.locator('[aria-label^="yellow.png"]').focus()
    with page.expect_response(re.compile("api/search")):
        page.keyboard.press("-")
    page.wait_for_selector(".chip:has-text('1 right, 1 wrong')")
    until(page, f"{order}.indexOf('blue') < {order}.indexOf('yell')")
    assert re.search(r"right=\d+&wrong=\d+", page.url)
    page.get_by_role("button", name="Forget the marks").click()
    page.wait_for_url("**/?q=white")


def test_selected_photos_are_tagged_and_downloaded(opened: Open, library: Library, tmp_path: Path) -> None:
    page = opened("?sort=name")
    page.focus('[data-photo="1"]')
    page.keyboard.press("x")
    page.focus('[data-photo="3"]')
    page.keyboard.press("Shift+X")
    page.wait_for_selector(".selection:has-text('3 selected')")
    with page.expect_download() as download:
        page.get_by_role("toolbar").get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "photos.zip")
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive:
        assert archive.namelist() == ["cyan.png", "green.png", "magenta.png"]
    page.get_by_role("toolbar").get_by_role("button", name="Tag").click()
    page.get_by_role("combobox", name="Tag").fill("cool")
    page.keyboard.press("Enter")
    page.get_by_role("complementary").get_by_role("button", name="cool").wait_for()
    assert library.catalog.tags.counts() == {"cool": 3}


def test_groups_are_looked_into_and_asked_within(opened: Open) -> None:
    page = opened("?view=groups", wait=".cards img")
    page.locator(".cards button").first.click()
    page.wait_for_selector(".tile.loaded")
    inside = page.locator(".tile").count()
    assert 0 < inside < 8
    ask(page, "red")
    page.get_by_role("switch", name="Fold copies").click()
    until(page, f"document.querySelectorAll('.tile').length === {inside}")
    page.get_by_role("button", name="Leave the group").click()
    until(page, "document.querySelectorAll('.tile').length === 8")


def test_duplicates_stand_side_by_side(opened: Open, library: Library, encoder: Encoder, photos: Path) -> None:
    shutil.copy(photos / "red.png", photos / "red again.png")
    index_sources(library, [photos], encoder)
    page = opened("?view=duplicates", wait=".twins img")
    assert "nothing is deleted" in page.inner_text(".review-line")
    with page.expect_download() as download:
        page.get_by_role("link", name="Save the list").click()
    assert str(photos) in Path(download.value.path()).read_text()


def test_the_map_opens_the_photo_that_is_clicked(opened: Open) -> None:
    pytest.importorskip("sklearn", reason="a map needs scikit-learn")
    page = opened("?view=map", wait=".map canvas")
    box = page.locator(".map canvas").bounding_box()
    page.wait_for_timeout(500)
    spots = page.evaluate("fetch('api/map').then((answer) => answer.json()).then(({ photos }) => photos.length)")
    assert spots == 8
    found = False
    for step in range(100):
        x, y = box["x"] + box["width"] * (step % 10 + 0.5) / 10, box["y"] + box["height"] * (step // 10 + 0.5) / 10
        page.mouse.move(x, y)
        if page.evaluate("document.querySelector('canvas').style.cursor") == "zoom-in":
            page.mouse.click(x, y)
            found = True
            break
    assert found
    page.wait_for_selector(".panel h2")


def test_the_viewer_tells_leads_on_and_is_a_link(opened: Open, photos: Path) -> None:
    page = opened("?q=red")
    page.click('[data-photo="0"]')
    page.wait_for_selector(".panel h2:has-text('red.png')")
    assert "8 \N{MULTIPLICATION SIGN} 8" in page.inner_text(".panel dl")
    assert str(photos) in page.inner_text(".panel dl")
    link = page.url
    assert re.search(r"photo=\d+$", link)
    page.get_by_role("button", name="Where?").click()
    page.wait_for_selector("canvas.heat")
    with page.expect_response(re.compile("api/search")):
        page.get_by_role("button", name="Less like this").click()
    page.wait_for_selector(".pswp", state="detached")
    page.wait_for_selector(".chip.minus")
    page.goto(link)
    page.wait_for_selector(".panel h2:has-text('red.png')")
    for _ in range(60):  # PhotoSwipe hears no click while it opens
        page.wait_for_timeout(1000)
        if not page.query_selector(".pswp"):
            break
        if page.query_selector(".pswp--open"):
            page.get_by_role("button", name="Close").click()
    assert not page.query_selector(".pswp")


def test_months_are_headed_and_the_scrubber_goes_to_them(
    opened: Open, library: Library, encoder: Encoder, photos: Path
) -> None:
    for number, photo in enumerate(sorted(photos.iterdir())):
        moment = datetime(2020 + number // 2, 1 + 6 * (number % 2), 15, 12).timestamp()
        os.utime(photo, (moment, moment))
    index_sources(library, [photos], encoder)
    page = opened(viewport={"width": 1000, "height": 400})
    assert page.inner_text(".row.heading h2 >> nth=0") == "July 2023"
    scrubber = page.get_by_role("slider", name="Date")
    box = scrubber.bounding_box()
    page.mouse.click(box["x"] + 40, box["y"] + box["height"] - 2)
    page.wait_for_selector(".row.heading h2:has-text('January 2020')")
    scrubber.press("ArrowUp")
    assert scrubber.get_attribute("aria-valuetext") != "January 2020"


def test_a_hundred_thousand_photos_scroll_with_only_those_in_sight_in_the_document(opened: Open) -> None:
    count = 100_000
    content = grid(2_460_000 - np.arange(count) // 40, np.resize([384, 192, 256], count))

    def before(page: Any) -> None:
        page.route("**/api/grid*", lambda route: route.fulfill(body=content, content_type="application/octet-stream"))

    page = opened(wait=".tile", before=before)
    page.wait_for_selector("h1:has-text('100,000 photos')")
    for share in (0, 0.5, 1):
        page.evaluate(
            "(share) => { const box = document.querySelector('.scroll'); box.scrollTop = share * box.scrollHeight }",
            share,
        )
        page.wait_for_timeout(300)
        shown = page.evaluate("[...document.querySelectorAll('.tile')].map((tile) => +tile.dataset.photo)")
        assert 5 < len(shown) < 200
        assert min(shown) <= share * count <= max(shown) + 1
    page.focus(".tile >> nth=-1")
    page.keyboard.press("Home")
    until(page, "document.activeElement.dataset.photo == 0")


def test_half_a_million_photos_go_beyond_the_height_of_an_element_and_can_all_be_reached(opened: Open) -> None:
    count = 500_000
    content = grid(np.full(count, 2_460_000), np.full(count, 256))

    def before(page: Any) -> None:
        page.route("**/api/grid*", lambda route: route.fulfill(body=content, content_type="application/octet-stream"))

    page = opened(wait=".tile", before=before)
    assert page.evaluate("document.querySelector('.scroll').scrollHeight") < 16_000_000
    page.focus('[data-photo="0"]')
    page.keyboard.press("End")
    until(page, f"document.activeElement.dataset.photo == {count - 1}")
    bottom = page.evaluate("document.activeElement.getBoundingClientRect().bottom")
    assert bottom <= 800


def test_a_phone_shows_two_columns_and_nothing_sticks_out(opened: Open) -> None:
    page = opened(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    top = page.evaluate("document.querySelector('[data-photo]').getBoundingClientRect().top")
    tops = page.evaluate("[...document.querySelectorAll('[data-photo]')].map((one) => one.getBoundingClientRect().top)")
    assert 2 <= tops.count(top) <= 3
    page.tap('[data-photo="0"]')
    page.wait_for_selector(".pswp__img")
    page.get_by_role("button", name="What is known of it").tap()
    page.wait_for_selector(".panel h2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_systems_colours(opened: Open, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", back)[:3])) < 200) == (scheme == "dark")


def test_a_name_that_is_a_script_is_a_name(opened: Open, library: Library, encoder: Encoder, photos: Path) -> None:
    folder = photos / "<script>alert(2)</script>"[:-9]
    folder.mkdir()
    paint(folder / HOSTILE, "red")
    index_sources(library, [photos], encoder)
    page = opened("?filter=path%3D*onerror*")
    assert first(page).startswith("<img src=x")
    page.click(".tile")
    page.wait_for_selector(".panel h2")
    assert page.inner_text(".panel h2") == HOSTILE
    page.wait_for_timeout(200)  # an alert would be a complaint


def test_what_went_wrong_is_said_and_can_be_tried_again(opened: Open) -> None:
    page = opened("?filter=flavour%3Dred", wait="[role=alert]")
    assert "Nothing is filtered by 'flavour'" in page.inner_text("[role=alert]")
    page.route("**/api/grid*", lambda route: route.abort())
    page.get_by_role("link", name="Descry").click()
    until(page, "!document.querySelector('[role=alert]')?.innerText.includes('flavour')")
    page.unroute("**/api/grid*")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector(".tile.loaded")


def test_nothing_found_says_what_to_do(opened: Open) -> None:
    page = opened("?filter=camera%3Dnone", wait=".trouble")
    assert "No photo passes these filters" in page.inner_text(".trouble")
    page.get_by_role("button", name="Remove all filters").click()
    page.wait_for_selector(".tile.loaded")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path", ["", "?q=red&q=-1%3Agreen&filter=type%3Dpng", "?q=red&photo=1", "?filter=flavour%3Dx", "?view=groups"]
)
def test_axe_finds_nothing_amiss(opened: Open, path: str, scheme: str) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not here: npm ci in web/")
    page = opened(
        path, wait=".panel h2" if "photo" in path else ".tile.loaded, [role=alert], .cards img", color_scheme=scheme
    )
    page.wait_for_timeout(400)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []


def test_copies_are_folded_and_unfolded(opened: Open, library: Library, encoder: Encoder, photos: Path) -> None:
    for number in range(2):
        shutil.copy(photos / "red.png", photos / f"red {number}.png")
    index_sources(library, [photos], encoder)
    page = opened("?q=red")
    until(page, "document.querySelector('.badge')?.textContent == '+2'")
    page.get_by_role("switch", name="Fold copies").click()
    page.wait_for_url("**/?q=red&fold=no")
    until(page, "document.querySelectorAll('.tile').length == 10 && !document.querySelector('.badge')")
    page.get_by_role("switch", name="Fold copies").click()
    page.wait_for_url("**/?q=red")
    page.locator(".badge").first.click()
    until(page, "[0, 1].every((at) => document.querySelector(`[data-photo='${at}']`)?.ariaLabel?.startsWith('red'))")


def test_a_contact_sheet_of_the_selected_is_saved(opened: Open) -> None:
    page = opened()
    for photo in range(2):
        page.locator(f'[data-photo="{photo}"]').press("x")
    with page.expect_download() as download:
        page.get_by_role("button", name="Contact sheet").click()
    assert Path(download.value.path()).read_text("utf-8").count("<figure") == 2


def test_what_is_indexed_meanwhile_is_offered(opened: Open, library: Library, encoder: Encoder, photos: Path) -> None:
    page = opened(before=lambda page: page.clock.install())
    paint(photos / "new.png", "red")
    index_sources(library, [photos], encoder)
    page.clock.run_for(16_000)
    page.get_by_role("button", name="The library has changed").click()
    page.wait_for_selector("h1:has-text('9 photos')")
    assert not page.get_by_role("button", name="The library has changed").count()


def test_a_question_in_another_language_is_told(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.engine.Engine.not_understood", lambda *_: ["hund"])
    page = opened("?q=ein+Hund", wait=".note")
    assert page.locator(".note").inner_text() == "“hund”: the encoder cannot know this. Ask in English."


def test_words_that_were_read_are_outlined_where_they_stand(
    opened: Open, library: Library, photos: Path, encoder: Encoder
) -> None:
    place = (0.25, 0.4, 0.75, 0.6)
    sign = Image.new("RGB", (800, 400), "white")
    sign.paste("black", (200, 160, 600, 240))
    sign.save(photos / "sign.png")
    index_sources(library, [photos], encoder)
    with Library.open(library.path, readonly=False) as writable, writable.catalog.atomic():
        (item,) = writable.catalog.items_at(photos / "sign.png", "image")
        writable.catalog.words.put({item.id or 0: [Line("Harbour Street", place), Line("closed", (0, 0, 0.2, 0.1))]})
    page = opened()
    page.locator(f'.tile[data-id="{item.id}"].loaded').click()
    page.wait_for_selector(".panel .words")
    assert page.locator(".read").count() == 0
    page.get_by_role("button", name="Show where they stand").click()
    until(page, "document.querySelectorAll('.read').length === 2")
    page.wait_for_timeout(600)  # it zooms in
    sides = page.evaluate(WITHIN_ITS_PHOTO)
    assert sides == pytest.approx([0.25, 0.4, 0.5, 0.2], abs=0.03)
    if to := os.environ.get("DESCRY_SCREENSHOTS"):
        page.screenshot(path=Path(to, "words.png"))
    page.get_by_role("button", name="Hide where they stand").click()
    until(page, "document.querySelectorAll('.read').length === 0")


def test_shots_of_films_stand_among_the_photos_and_play_from_their_second(
    opened: Open, library: Library, photos: Path, encoder: Encoder
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'descry[video]'")
    from films import film

    film(photos / "film.mp4", ["red", "blue"], 3)
    index_sources(library, [photos], encoder)
    shot = library.catalog.items_at(photos / "film.mp4", "video")[1]
    page = opened()
    page.locator(f'.tile[data-id="{shot.id}"].loaded').click()
    play = page.get_by_role("link", name="Play from 0:03")
    assert str(play.get_attribute("href")).endswith(f"/{shot.id}/original#t=3")
    if to := os.environ.get("DESCRY_SCREENSHOTS"):
        page.screenshot(path=Path(to, "film.png"))


@pytest.mark.usefixtures("matcher")
def test_the_first_hits_are_re_ranked_by_a_switch_and_it_says_so(opened: Open) -> None:
    page = opened("?q=red")
    assert first(page) == "red.png"
    page.get_by_role("switch", name="Re-rank").click()
    page.wait_for_url("**/?q=red&rerank=yes")
    page.wait_for_selector(".note:has-text('Re-ranked: greenest looked at 7 of these together with the words.')")
    fit = page.evaluate("document.querySelector('[data-photo=\"0\"]').ariaLabel")
    assert not fit.startswith("blue")
    if to := os.environ.get("DESCRY_SCREENSHOTS"):
        page.screenshot(path=Path(to, "reranked.png"))
    page.click('[data-photo="0"]')
    page.wait_for_selector(".panel :text('Matches the words with a probability of')")
    page.reload()
    page.wait_for_selector(".pswp")
    page.goto(page.url.partition("&photo")[0])
    page.wait_for_selector(".note:has-text('Re-ranked')")
    page.get_by_role("switch", name="Re-rank").click()
    page.wait_for_url("**/?q=red")
    until(page, "![...document.querySelectorAll('.note')].some((one) => one.textContent.includes('Re-ranked'))")
    assert first(page) == "red.png"


@pytest.mark.usefixtures("matcher")
def test_what_no_model_can_look_at_has_no_switch_for_it(opened: Open) -> None:
    page = opened("?q=id:1&rerank=yes")
    page.wait_for_selector("h1:has-text('fit')")
    assert not page.get_by_role("switch", name="Re-rank").count()


def test_a_server_without_a_model_shows_no_switch_and_answers_all_the_same(opened: Open) -> None:
    page = opened("?q=red&rerank=yes")
    assert first(page) == "red.png"
    assert page.get_by_role("switch").count() == 1

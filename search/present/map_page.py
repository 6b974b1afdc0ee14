"""The map as one page: photos where they were laid out, their thumbnails in sprite sheets, a script that moves it all.

Nothing is fetched: what the page shows lies in it, but for the large photo of the card, which is the file itself where
it can still be read. `map.html` is the page, `map.js` its script; this puts the data in.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from PIL import Image, ImageOps

from indexer.atomic import atomic_write, writing
from indexer.items import Item
from indexer.report import Watcher
from indexer.storage.files import shown
from search.present.thumbnails import data_uri, thumbnails

HERE = Path(__file__).parent

# Bytes of a page's thumbnails, before they are written as base64, which makes a third more of them. At quality 70 a
# pixel of a Flickr8k photo takes 0.23-0.31 bytes, the less the larger the thumbnail.
THUMBNAILS = 9_000_000
QUALITY = 70
BYTES_A_PIXEL = 0.27

# Sides of thumbnails in pixels, all of whole JPEG blocks so that neighbours do not bleed into each other: the largest
# that keeps to the budget is taken.
SIDES = (160, 128, 96, 80, 64, 56, 48, 40, 32, 24, 16)

# Pixels of a sprite sheet's side at most: what phones decode.
SHEET = 2048

# The script counts in units of this square.
WORLD = 10_000


class Spot(NamedTuple):
    """A photo on the map: `x` and `y` in 0..1 from the upper left, `group` the number of its group, from 0."""

    path: Path
    x: float
    y: float
    group: int


def write_map(
    path: Path, spots: Sequence[Spot], groups: Sequence[Sequence[str]], *, title: str, count: str, watcher: Watcher
) -> None:
    """Writes the page. `groups` are the words that name each group. Raises `PathError` where it cannot be written."""
    side = thumbnail_side(len(spots))
    data = {
        "title": title,
        "count": count,
        "tile": side,
        "columns": SHEET // side,
        "sheets": list(_sheets([spot.path for spot in spots], side, watcher)),
        "groups": [{"words": list(words), **_middle(spots, number)} for number, words in enumerate(groups)],
        **_photos(spots),
    }
    page = (HERE / "map.html").read_text(encoding="utf-8")
    parts = {
        "@title@": escape(title),
        "@script@": (HERE / "map.js").read_text(encoding="utf-8"),
        "@data@": _inside_script(data),
    }
    for mark, content in parts.items():  # the data last: a photo may be called @script@
        page = page.replace(mark, content, 1)
    with writing(path), atomic_write(path.absolute()) as new:
        new.write_text(page, encoding="utf-8")


def thumbnail_side(photos: int) -> int:
    """The side of the thumbnails of so many photos, in pixels.

    >>> [thumbnail_side(photos) for photos in (16, 2000, 8090, 10_000)]
    [160, 128, 64, 56]
    """
    fitting = (side for side in SIDES if photos * side * side * BYTES_A_PIXEL <= THUMBNAILS)
    return next(fitting, SIDES[-1])


def _sheets(paths: Sequence[Path], side: int, watcher: Watcher) -> Iterator[str]:
    """The photos' sprite sheets as addresses: squares of `side`, row by row; grey for what cannot be read."""
    columns = SHEET // side
    photos = iter(thumbnails((Item("image", path) for path in paths), 2 * side))
    watcher.begin(len(paths))
    for start in range(0, len(paths), columns * columns):
        count = min(columns * columns, len(paths) - start)
        sheet = Image.new("RGB", (min(count, columns) * side, math.ceil(count / columns) * side), "#888")
        for place in range(count):
            if jpeg := next(photos):
                tile = ImageOps.fit(Image.open(BytesIO(jpeg), formats=["JPEG"]), (side, side), Image.Resampling.LANCZOS)
                sheet.paste(tile, (place % columns * side, place // columns * side))
            watcher.advance(1)
        content = BytesIO()
        sheet.save(content, "JPEG", quality=QUALITY, optimize=True)
        yield data_uri(content.getvalue())
    watcher.end()


def _middle(spots: Sequence[Spot], group: int) -> dict[str, int]:
    """Where a group's name stands: the medians of its photos' places, which strays do not move."""
    members = [spot for spot in spots if spot.group == group]
    half = len(members) // 2
    return {
        "x": round(WORLD * sorted(spot.x for spot in members)[half]) if members else 0,
        "y": round(WORLD * sorted(spot.y for spot in members)[half]) if members else 0,
        "photos": len(members),
    }


def _photos(spots: Sequence[Spot]) -> dict[str, Any]:
    """The photos and their folders, each folder said once; names are as they stand in addresses."""
    folders = {folder: number for number, folder in enumerate(dict.fromkeys(spot.path.parent for spot in spots))}
    return {
        "folders": [{"shown": f"{shown(folder)}/", "uri": f"{folder.as_uri()}/"} for folder in folders],
        "photos": [
            [round(WORLD * x), round(WORLD * y), group, folders[path.parent], quote(os.fsencode(path.name))]
            for path, x, y, group in spots
        ],
    }


def _inside_script(data: object) -> str:
    """JSON that cannot end the element that it stands in, whatever a file is called."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")

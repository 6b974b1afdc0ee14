"""Draws the README's image of a search: real queries over the demo photos, and what the shipped encoder finds.

python docs/draw_search.py docs/search.jpg
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from indexer import Library, index_sources, load_encoder
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from search import Engine, parse

PHOTOS = Path(__file__).parent.parent / "data" / "photos"
QUERIES = ("something to drink", "money", "outer space")
SHOWN = 4
TILE, GAP, LINE = 180, 12, 34


def main(target: Path) -> None:
    """Writes the image to `target`."""
    encoder = load_encoder()
    width = SHOWN * (TILE + GAP) + GAP
    sheet = Image.new("RGB", (width, len(QUERIES) * (LINE + TILE + 28 + GAP) + GAP), "white")
    with tempfile.TemporaryDirectory() as folder, Library.create(folder, encoder) as library:
        index_sources(library, [PHOTOS], encoder)
        engine = Engine(library, encoder)
        for row, query in enumerate(QUERIES):
            _draw_row(sheet, GAP + row * (LINE + TILE + 28 + GAP), query, engine)
    sheet.save(target, quality=85, optimize=True)


def _draw_row(sheet: Image.Image, top: int, query: str, engine: Engine) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, top), f'$ descry search "{query}"', "black", ImageFont.load_default(20))
    for column, hit in enumerate(engine.search(parse(query, k=SHOWN))):
        left = GAP + column * (TILE + GAP)
        sheet.paste(_tile(hit.item.path), (left, top + LINE))
        label = f"{hit.score:.2f}  {hit.item.path.name}"
        draw.text((left, top + LINE + TILE + 4), label, "dimgray", ImageFont.load_default(15))


def _tile(path: Path) -> Image.Image:
    image = upright_rgb(open_photo(path))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((TILE, TILE))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Answers in the terminal: rows of small photos below the list, by the sharpest means that the terminal has.

`textual-image` asks the terminal what it can do: Kitty's protocol, Sixel (iTerm2, WezTerm, Konsole, foot,
Windows Terminal and others), else two coloured pixels a character.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from indexer.errors import QueryError
from search.present.sinks import Answer, Sink
from search.present.thumbnails import thumbnails
from search.terminal import visible, write

if TYPE_CHECKING:
    from rich.console import Console

    from search.hits import Hit

# Characters that an image is wide at least: in half blocks, with fewer pixels across, few photos are told apart.
WIDTH = 24

# Pixels of a character in the strip that is handed over; the terminal's own size decides what is shown of them.
CELL = 12

# Width to height of an image: most cameras'. What does not fit is cut off at the edges.
SHAPE = 4 / 3


class Preview(Sink):
    """Draws the photos of an answer on the terminal; where there is none, it says so and draws nothing."""

    def __init__(self, value: Any, *, many: bool = False) -> None:
        """Raises `QueryError` where the package that draws is missing."""
        super().__init__(value, many=many)
        # it is asked through stdin what it can do; one that shows no colours says so by its name
        is_terminal = sys.stdout.isatty() and sys.stdin.isatty() and os.environ.get("TERM") != "dumb"
        self._console = _console() if is_terminal else None

    def take(self, answer: Answer) -> None:
        photos = [(rank, hit) for rank, hit in enumerate(answer.hits, start=1) if not hit.item.text]
        if self._console and photos:
            _draw(photos, self._console)

    def finish(self, made: list[Path]) -> str:  # noqa: ARG002  the sinks' signature
        return "" if self._console else "no previews: they need a terminal with colours, not a file or a pipe"


def _console() -> Console:
    try:
        import textual_image.renderable  # noqa: F401  asks the terminal at once, before anything is printed
        from rich.console import Console
    except ImportError as error:
        raise QueryError("--preview needs the package textual-image: pip install 'descry[previews]'.") from error
    # whoever asks for photos wants their colours, also where $NO_COLOR is set for texts
    return Console(no_color=False)


def _draw(photos: Sequence[tuple[int, Hit]], console: Console) -> None:
    from textual_image.renderable import Image as Renderable

    columns = shutil.get_terminal_size().columns
    across = max(1, columns // WIDTH)
    width = columns // across
    for image, caption in rows(photos, across, width):
        console.print(Renderable(image, width=image.width // CELL, height="auto"))
        write(caption + "\n")


def rows(photos: Sequence[tuple[int, Hit]], across: int, width: int) -> Iterator[tuple[Image.Image, str]]:
    """The photos in rows of `across`, each `width` characters wide: a strip of photos and what stands below it."""
    side = width * CELL
    jpegs = thumbnails((hit.item for _, hit in photos), side)
    for start in range(0, len(photos), across):
        row = photos[start : start + across]
        strip = Image.new("RGB", (side * len(row), round(side / SHAPE)))
        for column, (_, jpeg) in enumerate(zip(row, jpegs, strict=False)):
            if jpeg is not None:
                # a character's width stays free between two
                strip.paste(
                    ImageOps.fit(Image.open(BytesIO(jpeg), formats=["JPEG"]), (side - CELL, strip.height)),
                    (side * column, 0),
                )
        captions = (f"{rank} {_score(hit)}{visible(hit.item.path.name)}"[: width - 1] for rank, hit in row)
        yield strip, "".join(caption.ljust(width) for caption in captions).rstrip()


def _score(hit: Hit) -> str:
    return "" if hit.score is None else f"{hit.score:.3f} "

"""Whether the heat of `descry explain` lies where it should: several photos on one canvas, a caption of one of them.

The pointing game (Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016), with photos for objects: the
warmest part must lie on the photo that the caption is of. Pure chance is one in as many photos as the canvas holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from evaluation.datasets import Example
from indexer.encoders import Encoder
from indexer.encoders.base import SeeingTower
from indexer.errors import EncoderUnavailable
from search.present.heatmap import Heat

# Pixels of a photo's side on the canvas: Flickr8k's here are stored so.
SIDE = 224

# Canvases of each layout, and captions asked about each photo: 800 and 1,600 questions, so that a figure is
# within 2.5 points with 95 % confidence, in about two minutes on two cores.
CANVASES, CAPTIONS = 200, 2

# Photos across and down.
LAYOUTS = {"two photos": (2, 1), "four photos": (2, 2)}

Layout = tuple[int, int]


def pointing(encoder: Encoder, examples: Sequence[Example], *, canvases: int = CANVASES) -> dict[str, dict[str, float]]:
    """For each layout: how often the heat's peak lies on the caption's photo, and how often by chance.

    Raises `EncoderUnavailable` for an encoder that cannot say what it sees where.
    """
    return {
        name: {
            "peak on its photo": float(np.mean(_hits(encoder, examples[:canvases], layout))),
            "chance": 1 / (layout[0] * layout[1]),
        }
        for name, layout in LAYOUTS.items()
    }


def _hits(encoder: Encoder, examples: Sequence[Example], layout: Layout) -> list[float]:
    """For each caption of each photo of each canvas, how far its peak lies on its photo: see `inside`."""
    tower = encoder.tower("image")
    if not isinstance(tower, SeeingTower):
        raise EncoderUnavailable(f"The encoder {encoder.name} cannot say what it sees where; choose another --model.")
    hits = []
    for first in range(len(examples)):
        shown = _apart(examples, first, layout[0] * layout[1])
        canvas = mosaic([example.image() for example in shown], layout)
        rows, box = tower.regions(canvas)
        shares = box[0] / canvas.width, box[1] / canvas.height, box[2] / canvas.width, box[3] / canvas.height
        for number, example in enumerate(shown):
            for vector in encoder.embed("text", example.captions[:CAPTIONS]):
                hits.append(inside(Heat("", 0.0, rows @ vector, shares).place, number, layout))
    return hits


def _apart(examples: Sequence[Example], first: int, count: int) -> list[Example]:
    """As many examples as a canvas holds, far apart: neighbours in a file may show one scene."""
    return [examples[(first + number * len(examples) // count) % len(examples)] for number in range(count)]


def mosaic(images: Sequence[Image.Image], layout: Layout) -> Image.Image:
    """Images as squares on one canvas, row by row."""
    across, down = layout
    canvas = Image.new("RGB", (across * SIDE, down * SIDE))
    for number, image in enumerate(images):
        canvas.paste(image.convert("RGB").resize((SIDE, SIDE)), (number % across * SIDE, number // across * SIDE))
    return canvas


def inside(place: tuple[float, float], number: int, layout: Layout) -> float:
    """1 if a place lies on the photo of that number, 1/2 on the line between it and its neighbour, else 0.

    >>> inside((0.75, 0.5), 1, (2, 1)), inside((0.5, 0.5), 1, (2, 1)), inside((0.75, 0.5), 0, (2, 1))
    (1.0, 0.5, 0.0)
    """
    share = 1.0
    for at, own, count in zip(place, (number % layout[0], number // layout[0]), layout, strict=True):
        distance = abs(at * count - own - 0.5)  # from the photo's middle, in photos
        share *= 1.0 if distance < 0.5 else 0.5 if distance == 0.5 else 0.0
    return share

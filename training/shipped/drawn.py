"""Drawn photos of surfaces and patterns: what photo folders hold and none of the photo sets names.

Captions speak of people, dogs and streets, labels of things; nothing says what gravel, a printed page or a night
sky looks like. These are drawn, not photographed, by rules as simple as they can be: enough to tell the words apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Generator = np.random.Generator
Pixels = npt.NDArray[np.floating[Any]]  # (side, side, 3), 0..255


def drawn(kind: str, side: int, draw: Generator) -> npt.NDArray[np.uint8]:
    """One photo of a kind in `KINDS` as `[3, side, side]` uint8: unevenly lit, soft and grainy, half of them grey."""
    pixels = KINDS[kind][1](side, draw)
    light = 1 + draw.uniform(-0.3, 0.3) * np.linspace(-1, 1, side)[:, None, None]
    pixels = pixels * light + draw.normal(0, draw.uniform(0, 10), pixels.shape)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(draw.uniform(0, 1.2)))
    if draw.random() < 0.5:
        image = image.convert("L").convert("RGB")
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _noise(side: int, cells: int, draw: Generator) -> Pixels:
    """Smooth random values in 0..1, `[side, side, 1]`, with about `cells` bumps along a side."""
    coarse = Image.fromarray((draw.random((cells, cells)) * 255).astype(np.uint8))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float32)[..., None] / 255


def _colour(draw: Generator, low: tuple[int, int, int], high: tuple[int, int, int]) -> Pixels:
    return draw.uniform(low, high).astype(np.float32)


def _bricks(side: int, draw: Generator) -> Pixels:
    """Rows of bricks, each row shifted, with joints of mortar."""
    height = int(draw.integers(side // 18, side // 6))
    width, joint = int(height * draw.uniform(1.8, 3.2)), max(1, height // int(draw.integers(6, 14)))
    image = Image.new("RGB", (side, side), tuple(_colour(draw, (110, 100, 90), (220, 215, 205)).astype(int)))
    pen, base = ImageDraw.Draw(image), _colour(draw, (110, 50, 40), (200, 130, 110))
    for row, top in enumerate(range(-height, side, height)):
        shift = (row % 2) * width // 2 + int(draw.integers(-2, 3))
        for left in range(-width - shift, side, width):
            shade = np.clip(base * draw.uniform(0.75, 1.2), 0, 255).astype(int)
            pen.rectangle((left + joint, top + joint, left + width - 1, top + height - 1), tuple(shade))
    return np.asarray(image, np.float32) * (0.85 + 0.3 * _noise(side, side // 4, draw))


def _pebbles(side: int, draw: Generator, *, largest: int = 9) -> Pixels:
    """Many small stones: cells around random points, dark where two meet, each with its own shade."""
    count = (side // int(draw.integers(5, largest + 6))) ** 2
    points = draw.uniform(0, side, (count, 2)).astype(np.float32)
    grid = np.mgrid[0:side, 0:side].reshape(2, -1).T.astype(np.float32)  # (side * side, 2)
    found = torch.cdist(torch.from_numpy(grid), torch.from_numpy(points)).topk(2, largest=False)
    distances, nearest = found.values.numpy(), found.indices.numpy()
    edge = np.clip((distances[:, 1] - distances[:, 0]) / 4, 0, 1)
    shade = draw.uniform(0.4, 1.1, count)[nearest[:, 0]] * (0.25 + 0.75 * edge)
    tint = _colour(draw, (130, 120, 110), (220, 210, 205))
    pixels: Pixels = shade.reshape(side, side, 1) * tint
    return pixels


def _grass(side: int, draw: Generator) -> Pixels:
    """Thousands of blades, thin and slanted, the lighter ones on top."""
    image = Image.new("RGB", (side, side), (20, 40, 15))
    pen = ImageDraw.Draw(image)
    base, length = _colour(draw, (70, 120, 30), (130, 190, 80)), side * draw.uniform(0.06, 0.2)
    for brightness in np.sort(draw.uniform(0.3, 1.2, int(side * draw.uniform(8, 16)))):
        x, y, slant = draw.uniform(0, side), draw.uniform(0, side * 1.1), draw.normal(0, 0.6)
        end = (x + length * np.sin(slant), y - length * np.cos(slant))
        shade = tuple(np.clip(base * brightness, 0, 255).astype(int))
        pen.line((x, y, *end), shade, int(draw.integers(1, 3)))
    return np.asarray(image, np.float32)


def _boards(side: int, draw: Generator) -> Pixels:
    """Wooden boards with grain along them."""
    board = int(draw.integers(side // 8, side // 3))
    fine = Image.fromarray((draw.random((4, side)) * 255).astype(np.uint8))
    grain = np.asarray(fine.resize((side, side), Image.Resampling.BICUBIC), np.float32)[..., None] / 255
    pixels = _colour(draw, (120, 80, 45), (200, 160, 110)) * (0.6 + 0.5 * grain)
    for left in range(0, side, board):
        pixels[:, left : left + board] *= draw.uniform(0.8, 1.15)
        pixels[:, left : left + 2] *= 0.4
    return pixels if draw.random() < 0.5 else np.ascontiguousarray(pixels.transpose(1, 0, 2))


def _letters(draw: Generator, count: int) -> str:
    return "".join(draw.choice(list("eeeettaaooiinnssrrhhllddccuummffppggwwyybbvvkxjqz"), count))


def _page(side: int, draw: Generator) -> Pixels:
    """Lines of words in dark ink on light paper, perhaps with a heading."""
    paper = _colour(draw, (190, 185, 170), (255, 255, 250))
    image = Image.new("RGB", (side, side), tuple(paper.astype(int)))
    pen, size = ImageDraw.Draw(image), float(draw.integers(8, 20))
    font, margin, y = ImageFont.load_default(size), draw.uniform(0, side / 8), draw.uniform(0, side / 8)
    while y < side:
        words = [_letters(draw, int(draw.integers(1, 10))) for _ in range(40)]
        if draw.random() < 0.9:
            pen.text((margin, y), " ".join(words), tuple((paper * draw.uniform(0.05, 0.35)).astype(int)), font)
        y += size * 1.35
    return np.asarray(image.rotate(draw.uniform(-4, 4), fillcolor=tuple(paper.astype(int))), np.float32)


def _stars(side: int, draw: Generator) -> Pixels:
    """Points and small blobs of light on black."""
    image = Image.new("RGB", (side, side), tuple(draw.integers(0, 25, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(int(draw.integers(60, 600))):
        x, y, radius = draw.uniform(0, side), draw.uniform(0, side), draw.exponential(side / 250)
        shade = np.clip(draw.uniform(90, 255) + draw.normal(0, 30, 3), 0, 255).astype(int)
        pen.ellipse((x - radius, y - radius * draw.uniform(0.5, 1), x + radius, y + radius), tuple(shade))
    glow = _noise(side, int(draw.integers(3, 7)), draw) ** 4 * _colour(draw, (0, 0, 10), (90, 60, 110))
    return np.asarray(image, np.float32) + glow


def _coins(side: int, draw: Generator) -> Pixels:
    """Round pieces of metal with a rim and a relief, apart from each other on a plain ground."""
    ground = _colour(draw, (15, 15, 15), (235, 230, 220))
    pixels = np.ones((side, side, 3), np.float32) * ground
    pitch = int(draw.integers(side // 7, side // 2))
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    for top in range(0, side, pitch):
        for left in range(0, side, pitch):
            if draw.random() < 0.15:
                continue
            radius = pitch * draw.uniform(0.3, 0.48)
            centre = np.array([top, left]) + pitch / 2 + draw.normal(0, pitch * 0.04, 2)
            distance = np.hypot(y - centre[0], x - centre[1]) / radius
            metal = _colour(draw, (120, 90, 50), (210, 200, 180)) * draw.uniform(0.7, 1.15)
            relief = 0.65 + 0.7 * _noise(side, max(4, side // max(3, int(radius // 4))), draw)
            rim = np.where((distance > 0.84) & (distance < 0.94), 0.7, 1.0)[..., None]
            inside = np.clip((1 - distance) * radius, 0, 1)[..., None]
            pixels = pixels * (1 - inside) + inside * metal * relief * rim
    return pixels


def _squares(side: int, draw: Generator) -> Pixels:
    """Two colours in squares."""
    size, shift = int(draw.integers(side // 12, side // 4)), int(draw.integers(0, side))
    y, x = np.mgrid[0:side, 0:side] + shift
    first, second = _colour(draw, (0, 0, 0), (120, 120, 120)), _colour(draw, (140, 140, 140), (255, 255, 255))
    return np.where(((y // size + x // size) % 2)[..., None] == 0, first, second)


def _stripes(side: int, draw: Generator) -> Pixels:
    """Two colours in stripes."""
    size, angle = draw.uniform(side / 20, side / 6), draw.uniform(0, np.pi)
    y, x = np.mgrid[0:side, 0:side]
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * np.pi / size)[..., None]
    first, second = _colour(draw, (0, 0, 0), (255, 255, 255)), _colour(draw, (0, 0, 0), (255, 255, 255))
    return np.where(wave > 0, first, second)


def _clouds(side: int, draw: Generator) -> Pixels:
    """White on blue, from large to small."""
    cover = np.sum([_noise(side, 2 ** (level + 2), draw) / 2**level for level in range(4)], axis=0)
    cover = np.clip((cover - cover.mean()) * draw.uniform(2, 4) + draw.uniform(0.2, 0.7), 0, 1)
    blue = _colour(draw, (60, 110, 170), (140, 190, 240)) * np.linspace(0.8, 1.1, side)[:, None, None]
    pixels: Pixels = blue * (1 - cover) + 245 * cover
    return pixels


# What is drawn: a name, how people would say it, the drawing.
KINDS: dict[str, tuple[tuple[str, ...], Callable[[int, Generator], Pixels]]] = {
    "bricks": (("a brick wall", "bricks", "a wall of bricks"), _bricks),
    "gravel": (("gravel", "small stones", "pebbles", "stones on the ground"), _pebbles),
    "grass": (("grass", "a lawn", "a meadow of grass", "green grass"), _grass),
    "boards": (("wooden boards", "wood", "a wooden floor"), _boards),
    "page": (("a page of text", "a printed page", "a document", "words in a book", "a letter"), _page),
    "stars": (("stars in the night sky", "stars", "galaxies in space", "the night sky", "outer space"), _stars),
    "coins": (("coins", "old coins", "money", "a collection of coins"), _coins),
    "squares": (("a checkerboard", "tiles", "a pattern of squares"), _squares),
    "stripes": (("stripes", "a striped pattern"), _stripes),
    "clouds": (("clouds", "a cloudy sky", "white clouds in the blue sky"), _clouds),
}

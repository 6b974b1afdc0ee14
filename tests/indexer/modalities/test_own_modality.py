"""A modality of one's own: a few lines and a row in `MODALITIES`, and everything else knows what to do with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from indexer import Encoder, Library, index_sources
from indexer.encoders.base import Encoder as AnyEncoder
from indexer.encoders.ensemble import JoinedTower
from indexer.items import Item
from indexer.modalities import MODALITIES
from indexer.modalities.base import Modality, ReadOptions
from indexer.reembedding import reembed
from indexer.testing import PictureColors, WordColors
from search.engine import Engine
from search.query import like, parse

SECONDS = ("red", "green", "blue")


def frames(path: Path, _options: ReadOptions) -> Iterator[tuple[Item, Any]]:
    with Image.open(path) as animation:
        for number, frame in enumerate(ImageSequence.Iterator(animation)):
            yield Item("animation", path, f"t{number}"), frame.convert("RGB")


ANIMATION = Modality("animation", "image", frozenset([".anim"]), frames)


@pytest.fixture
def animated(library: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setitem(MODALITIES, ANIMATION.name, ANIMATION)
    first, *others = [Image.new("RGB", (8, 8), color) for color in SECONDS]
    first.save(photos / "colours.anim", "GIF", save_all=True, append_images=others)
    Image.new("RGB", (8, 8), "yellow").save(photos / "photo.png")
    assert index_sources(library, [photos], encoder).embedded == 2
    return library


def parts(library: Library, question: str, encoder: Encoder) -> list[str]:
    return [hit.item.part for hit in Engine(library, encoder).search(parse(question, wanted="animation", k=1))]


def test_its_items_are_found_by_sentences(animated: Library, encoder: Encoder) -> None:
    assert animated.catalog.counts() == {"animation": 3, "image": 1}
    assert [parts(animated, color, encoder) for color in SECONDS] == [["t0"], ["t1"], ["t2"]]


def test_a_file_of_it_is_a_question_and_photos_are_found_by_it(animated: Library, encoder: Encoder) -> None:
    path = next(item.path for item in animated.catalog.items(animated.catalog.all_ids()) if item.part)
    (photo,) = Engine(animated, encoder).search(like(path, wanted="image"))
    assert photo.item.path.name == "photo.png"


def test_it_is_embedded_anew_by_another_encoder(animated: Library) -> None:
    towers = {"image": JoinedTower([PictureColors()] * 2, [1, 1]), "text": JoinedTower([WordColors()] * 2, [1, 1])}
    other = AnyEncoder("twice", 8, "1", {name: lambda tower=tower: tower for name, tower in towers.items()})
    before = animated.catalog.all_ids()
    assert reembed(animated, other).embedded == 4
    assert animated.catalog.all_ids() == before
    assert [parts(animated, color, other) for color in SECONDS] == [["t0"], ["t1"], ["t2"]]
    assert np.allclose(np.linalg.norm(animated.catalog.vectors(before).rows, axis=1), 1, atol=1e-3)


def test_it_goes_with_its_file(animated: Library, photos: Path, encoder: Encoder) -> None:
    (photos / "colours.anim").unlink()
    assert index_sources(animated, [photos], encoder).removed == 1
    assert parts(animated, "red", encoder) == []
    assert animated.remove(photos).items == 1

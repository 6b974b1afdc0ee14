"""Captions that a model writes: in batches, once, found by words and meaning, gone with their photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from painting import paint
from PIL import Image

from indexer import Encoder, Library, index_sources
from indexer.modalities import MODALITIES, caption
from indexer.pipeline import BATCH
from indexer.transfer.exporting import export
from search.engine import Engine
from search.query import parse


class Sayer:
    """A captioner that remembers how many photos it was asked about at once; of black ones it says nothing."""

    name = "ours"

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, photos: Sequence[Image.Image]) -> list[str]:
        self.asked.append(len(photos))
        return [self._said(photo.getpixel((0, 0))) for photo in photos]

    def _said(self, color: Any) -> str:
        if color == (0, 0, 0):
            return ""
        return "A red lighthouse by the sea" if color[0] > 200 else f"A blue umbrella {color[1]}"


def said_by(captioner: Sayer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption, "load_captioner", lambda _: captioner)
    monkeypatch.setitem(MODALITIES, "caption", replace(caption.CAPTION, load=lambda _: captioner))


@pytest.fixture
def captioned(library: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> Library:
    """A library of three photos, for which a captioner names the colour and a thing that no other word tells of."""
    said_by(Sayer(), monkeypatch)
    for color in ("red", "blue", "green"):
        paint(photos / f"{color}.png", color)
    index_sources(library, [photos], encoder)
    report = index_sources(library, [photos], encoder, readers={"caption": "ours"})
    assert (report.embedded, report.unchanged, report.failures) == (3, 3, [])
    return library


def names(library: Library, encoder: Encoder, question: str, **options: object) -> list[str]:
    return [hit.item.path.name for hit in Engine(library, encoder).search(parse(question, k=1, **options))]


def test_words_of_a_caption_find_its_photo_and_its_meaning_finds_it(captioned: Library, encoder: Encoder) -> None:
    assert captioned.catalog.counts() == {"image": 3, "caption": 3}
    assert names(captioned, encoder, "lighthouse", by_words=True) == ["red.png"]
    (hit,) = Engine(captioned, encoder).search(parse("red", wanted="caption", k=1))
    assert (hit.item.text, hit.item.part) == ("A red lighthouse by the sea", "caption")
    assert captioned.catalog.listing.captions is not None


def test_captions_go_with_their_photos_and_are_written_once(
    captioned: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = Sayer()
    said_by(again, monkeypatch)
    (photos / "red.png").rename(photos / "moved.png")
    (photos / "copy.png").write_bytes((photos / "blue.png").read_bytes())
    report = index_sources(captioned, [photos], encoder)
    assert (report.moved, report.copied, report.failures) == (2, 2, [])
    assert not again.asked
    assert names(captioned, encoder, "lighthouse", by_words=True) == ["moved.png"]
    (photos / "moved.png").unlink()
    index_sources(captioned, [photos], encoder)
    assert captioned.catalog.counts() == {"image": 3, "caption": 3}
    assert index_sources(captioned, [photos], encoder, readers={"caption": ""}).removed == 3
    assert captioned.catalog.counts() == {"image": 3}


def test_they_are_exported_and_shown(captioned: Library, photos: Path, encoder: Encoder) -> None:
    assert export(captioned, photos / "captions.npz", modality="caption") == 3
    assert "A red lighthouse by the sea" in np.load(photos / "captions.npz")["text"].tolist()
    engine = Engine(captioned, encoder)
    red = next(hit.item.path for hit in engine.browse() if hit.item.path.name == "red.png")
    assert captioned.catalog.listing.captions(red, most=9) == ["A red lighthouse by the sea"]


def test_photos_are_captioned_in_batches_each_with_its_own(
    library: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = Sayer()
    said_by(captioner, monkeypatch)
    painted = [paint(photos / f"{green}.png", (10, green, 20)) for green in range(1, 2 * BATCH + 6)]
    index_sources(library, [photos], encoder)
    report = index_sources(library, [photos], encoder, readers={"caption": "ours"})
    assert (report.embedded, report.unchanged) == (len(painted), len(painted))
    assert captioner.asked == [BATCH, BATCH, 5]
    said = {item.path.stem: item.text for item in library.catalog.items(library.catalog.ids("caption").tolist())}
    assert said == {photo.stem: f"A blue umbrella {photo.stem}" for photo in painted}


def test_a_photo_of_which_nothing_is_said_is_done_and_one_that_is_broken_is_named(
    library: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = Sayer()
    said_by(captioner, monkeypatch)
    for color in ("black", "red"):
        paint(photos / f"{color}.png", color)
    whole = (photos / "red.png").read_bytes()
    (photos / "broken.png").write_bytes(whole[: len(whole) // 2])
    report = index_sources(library, [photos], encoder, readers={"caption": "ours"})
    assert {failure.path.name for failure in report.failures} == {"broken.png"}
    assert library.catalog.counts() == {"image": 2, "caption": 1}
    assert index_sources(library, [photos], encoder).unchanged == 4
    assert sum(captioner.asked) == 2

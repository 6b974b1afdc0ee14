"""The kinds of things that can be found: one file a kind, one row in `MODALITIES`."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.modalities import caption, image, speech, text, video
from indexer.modalities.base import Modality
from indexer.photos.opening import open_photo

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MODALITIES", "Modality", "modalities_of", "modality_of", "open_image", "sidecars"]

MODALITIES: dict[str, Modality] = {
    image.IMAGE.name: image.IMAGE,
    text.TEXT.name: text.TEXT,
    **({video.VIDEO.name: video.VIDEO} if find_spec("av") else {}),
    **({speech.SPEECH.name: speech.SPEECH} if find_spec("faster_whisper") else {}),
    caption.CAPTION.name: caption.CAPTION,
}


def modality_of(name: str) -> Modality | None:
    """What a file of that name is first of all; None where nothing reads it."""
    return next(iter(modalities_of(name, MODALITIES)), None)


def modalities_of(name: str, readers: Collection[str] = ()) -> list[Modality]:
    """The modalities that read files of that name, told by the suffix in any case.

    Of those that need a reader only the ones whose names are among `readers`.
    """
    suffix = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    return [one for one in MODALITIES.values() if suffix in one.suffixes and (not one.load or one.name in readers)]


def open_image(path: Path, part: str = "") -> Image.Image:
    """What a file or a part of it shows, its pixels not yet decoded. Raises `SourceError` where that is nothing."""
    shown = [one.open_image for one in modalities_of(path.name, MODALITIES) if part and one.open_image]
    return shown[0](path, part) if shown else open_photo(path)


def sidecars(names: Collection[str]) -> dict[str, set[str]]:
    """The sidecar files among a folder's names, each with the names of the files that it tells about."""
    found: dict[str, set[str]] = {}
    for modality in MODALITIES.values():
        for name, owners in modality.sidecars(names).items():
            found.setdefault(name, set()).update(owners)
    return found

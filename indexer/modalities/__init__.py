"""The kinds of things that can be found: one file a kind, one row in `MODALITIES`."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.modalities import image, text, video
from indexer.modalities.base import Modality
from indexer.photos.opening import open_photo

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MODALITIES", "Modality", "modality_of", "picture", "sidecars"]

MODALITIES: dict[str, Modality] = {
    image.IMAGE.name: image.IMAGE,
    text.TEXT.name: text.TEXT,
    **({video.VIDEO.name: video.VIDEO} if find_spec("av") else {}),
}


def modality_of(name: str) -> Modality | None:
    """The modality that reads files of that name, told by the suffix in any case; None where none does."""
    suffix = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    return next((modality for modality in MODALITIES.values() if suffix in modality.suffixes), None)


def picture(path: Path, part: str = "") -> Image.Image:
    """What a file or a part of it shows, its pixels not yet decoded. Raises `SourceError` where that is nothing."""
    modality = modality_of(path.name) if part else None
    return modality.picture(path, part) if modality and modality.picture else open_photo(path)


def sidecars(names: Collection[str]) -> dict[str, set[str]]:
    """The sidecar files among a folder's names, each with the names of the files that it tells about."""
    found: dict[str, set[str]] = {}
    for modality in MODALITIES.values():
        for name, owners in modality.sidecars(names).items():
            found.setdefault(name, set()).update(owners)
    return found

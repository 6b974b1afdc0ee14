"""The kinds of things that can be found: one file a kind, one row in `MODALITIES`."""

from collections.abc import Collection

from indexer.modalities import image, text
from indexer.modalities.base import Modality

__all__ = ["MODALITIES", "Modality", "modality_of", "sidecars"]

MODALITIES: dict[str, Modality] = {
    image.IMAGE.name: image.IMAGE,
    text.TEXT.name: text.TEXT,
}


def modality_of(name: str) -> Modality | None:
    """The modality that reads files of that name, told by the suffix in any case; None where none does."""
    suffix = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    return next((modality for modality in MODALITIES.values() if suffix in modality.suffixes), None)


def sidecars(names: Collection[str]) -> dict[str, set[str]]:
    """The sidecar files among a folder's names, each with the names of the files that it tells about."""
    found: dict[str, set[str]] = {}
    for modality in MODALITIES.values():
        for name, owners in modality.sidecars(names).items():
            found.setdefault(name, set()).update(owners)
    return found

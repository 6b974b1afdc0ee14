"""The kinds of things that can be found: one file a kind, one row in `MODALITIES`."""

from indexer.modalities import image, text
from indexer.modalities.base import Modality

__all__ = ["MODALITIES", "Modality", "modality_of"]

MODALITIES: dict[str, Modality] = {
    image.IMAGE.name: image.IMAGE,
    text.TEXT.name: text.TEXT,
}


def modality_of(name: str) -> Modality | None:
    """The modality that reads files of that name, told by the suffix in any case; None where none does."""
    suffix = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    return next((modality for modality in MODALITIES.values() if suffix in modality.suffixes), None)

"""The kinds of things that can be found: one file a kind, one row in `MODALITIES`."""

from indexer.modalities import image, text
from indexer.modalities.base import Modality

__all__ = ["MODALITIES", "Modality", "modality_of"]

MODALITIES: dict[str, Modality] = {
    image.IMAGE.name: image.IMAGE,
    text.TEXT.name: text.TEXT,
}

_BY_SUFFIX = {suffix: modality for modality in MODALITIES.values() for suffix in modality.suffixes}


def modality_of(name: str) -> Modality | None:
    """The modality that reads files of that name, told by the suffix in any case; None where none does."""
    _, dot, suffix = name.rpartition(".")
    return _BY_SUFFIX.get(f".{suffix.lower()}") if dot else None

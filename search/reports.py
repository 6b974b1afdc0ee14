"""What `status` and `models` tell, as rows of plain data."""

from __future__ import annotations

from typing import Any

from indexer.library import Library
from indexer.storage.files import shown
from search.output import Rows


def status(library: Library) -> Rows:
    """What the library holds, where it comes from and what is amiss, a fact a row."""
    from indexer.reembedding import unfinished

    catalog = library.catalog
    change = unfinished(library)
    meta = catalog.meta()
    facts: dict[str, Any] = {
        "library": str(library.path),
        "encoder": f"{meta['encoder']} ({meta['checksum']}), {meta['dimension']} dimensions",
        **{f"{modality} items": count for modality, count in catalog.counts().items()},
        "size": f"{library.size() / 1e6:.1f} MB",
        "failed": len(catalog.files.failures()),
        "changes not yet in a saved index": library.stale_changes(),
    }
    if change:
        facts["unfinished reembed"] = f"{change.encoder}, {change.items} items done; `descry reembed --model` goes on"
    rows = [{"what": what, "is": value} for what, value in facts.items()]
    places = catalog.files.roots()
    return rows + [{"what": "folder", "is": f"{path}{'' if path.exists() else ' (not there now)'}"} for path in places]


def failures(library: Library) -> Rows:
    """The files that could not be indexed, and why."""
    return [{"path": shown(path), "reason": reason} for path, reason in library.catalog.files.failures()]


def models() -> Rows:
    """The encoders that can be chosen by a short name."""
    from indexer.encoders.models import MODELS, is_here

    return [
        {
            "name": card.alias,
            "here": "yes" if is_here(card) else "no",
            "dimensions": card.dimension,
            "MB": card.megabytes,
            "ImageNet %": card.quality,
            "photos/s on a core": card.speed,
            "note": card.note,
        }
        for card in MODELS
    ]

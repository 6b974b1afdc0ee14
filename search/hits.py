"""What is found."""

from __future__ import annotations

from dataclasses import dataclass

from indexer.items import Item


@dataclass(frozen=True, slots=True)
class Hit:
    """An item that was found. `score` is a cosine, higher is nearer; `missing` says that its file is gone."""

    item: Item
    score: float
    missing: bool = False

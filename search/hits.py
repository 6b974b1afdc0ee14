"""What is found."""

from __future__ import annotations

from dataclasses import dataclass

from indexer.items import Item


@dataclass(frozen=True, slots=True)
class Hit:
    """An item that was found. `score` is a cosine, higher is nearer; `missing` says that its file is gone.

    What is None was not asked for: `probability` is that of fitting the query (`search.relevance`), `alike` the
    number of near-duplicates folded into the hit, `penalty` what it pays for resembling what the query takes away,
    `rank_score` what the ranks by meaning and by words come to.
    """

    item: Item
    score: float
    missing: bool = False
    probability: float | None = None
    alike: int | None = None
    penalty: float | None = None
    rank_score: float | None = None

    @property
    def id(self) -> int:
        """The id of the item; 0 for one that no library holds."""
        return self.item.id or 0

    @property
    def standing(self) -> float:
        """What hits are ranked by: the score less the penalty, or the rank score where there is one."""
        return self.score - (self.penalty or 0.0) if self.rank_score is None else self.rank_score

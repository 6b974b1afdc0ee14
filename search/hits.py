"""What is found: candidates, which are ids with what a query makes of them, and hits, which are items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from indexer.errors import reason_of
from indexer.items import Item

# Why a file cannot be looked at that is not at its place.
GONE = "the file is gone"


@dataclass(frozen=True, slots=True)
class Candidate:
    """The id of an item that may be a hit; see `Hit` for the other fields, which have the same names."""

    id: int
    score: float
    probability: float | None = None
    alike: int | None = None
    penalty: float | None = None
    rank_score: float | None = None
    match: float | None = None

    @property
    def relevance(self) -> float:
        """What candidates are ranked by: the score less the penalty, or the rank score where there is one.

        Re-ranking comes behind.
        """
        return self.score - (self.penalty or 0.0) if self.rank_score is None else self.rank_score


@dataclass(frozen=True, slots=True)
class Hit:
    """An item that was found. `score` is a cosine, higher is nearer, None where nothing was asked (`Engine.browse`).

    `unseen` says why its file cannot be looked at now ("" if it can). What else is None was not asked for:
    `probability` is that of fitting the query (`search.relevance`), `alike` the number of near-duplicates folded into
    the hit, `penalty` what it pays for resembling what the query takes away, `rank_score` what the ranks by meaning and
    by words come to, `match` the probability that question and photo match when a model looks at both.
    """

    item: Item
    score: float | None = None
    probability: float | None = None
    alike: int | None = None
    penalty: float | None = None
    rank_score: float | None = None
    match: float | None = None
    unseen: str = ""

    @classmethod
    def of(cls, item: Item, candidate: Candidate | None = None) -> Hit:
        """The hit of a stored item, whose file is looked for."""
        shared = Candidate.__slots__[1:] if candidate else ()
        return cls(item, unseen=why_unseen(item.path), **{name: getattr(candidate, name) for name in shared})

    @property
    def id(self) -> int:
        """The id of the item; 0 for one that no library holds."""
        return self.item.id or 0

    @property
    def missing(self) -> bool:
        """Whether its file is gone."""
        return self.unseen == GONE


def why_unseen(path: Path) -> str:
    """Why a file cannot be looked at now: `GONE`, no permission, a drive that does not answer; "" if it can."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return GONE
    except OSError as error:
        return reason_of(error)
    return ""

"""The catalog's tags: words that were found to fit items, each with its probability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from indexer.storage.database import Database


class Tag(NamedTuple):
    """A word that fits an item with a probability in 0..1."""

    item_id: int
    tag: str
    probability: float


class Tags:
    """What items are tagged with. Tags go with their items; their case is kept, and no two differ in nothing else."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.connection

    def replace(self, tags: Sequence[str], found: Iterable[Tag]) -> None:
        """Stores who bears `tags`, instead of who bore them before, in one transaction; other tags stay."""
        with self._database.atomic():
            self._forget(tags)
            self._connection.executemany("INSERT INTO tags (item_id, tag, probability) VALUES (?, ?, ?)", found)

    def add(self, tag: str, item_ids: Sequence[int], probability: float = 1.0) -> None:
        """Gives items a tag beside those that they bear, in one transaction; ids that are not there are passed over."""
        sql = (
            "INSERT INTO tags (item_id, tag, probability) SELECT id, ?, ? FROM items WHERE id = ? "
            "ON CONFLICT DO NOTHING"
        )
        with self._database.atomic():
            self._connection.executemany(sql, [(tag, probability, int(id)) for id in item_ids])

    def take_off(self, tag: str, item_ids: Sequence[int]) -> None:
        """Takes a tag off some items, in one transaction."""
        with self._database.atomic():
            pairs = [(tag, int(id)) for id in item_ids]
            self._connection.executemany("DELETE FROM tags WHERE tag = ? AND item_id = ?", pairs)

    def remove(self, tags: Sequence[str]) -> int:
        """Takes tags off all items, in one transaction; how often they were borne."""
        with self._database.atomic():
            return self._forget(tags)

    def _forget(self, tags: Sequence[str]) -> int:
        return sum(self._connection.execute("DELETE FROM tags WHERE tag = ?", (tag,)).rowcount for tag in tags)

    def counts(self) -> dict[str, int]:
        """The tags and how many items bear each, the commonest first."""
        rows = self._connection.execute("SELECT tag, count(*) FROM tags GROUP BY tag ORDER BY 2 DESC, 1")
        return dict(rows)

    def of(self, item_id: int) -> dict[str, float]:
        """An item's tags and their probabilities, the most probable first."""
        sql = "SELECT tag, probability FROM tags WHERE item_id = ? ORDER BY probability DESC, tag"
        return dict(self._connection.execute(sql, (item_id,)))

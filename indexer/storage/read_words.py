"""The catalog's words in pictures: what was read in photos lies in their facts, here is what was looked at for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from indexer.storage.database import Database

# Letters of a word that is found within others ("RE16" in "RE16TGK"); digits make it worth looking for from three on.
WITHIN = 5

# Letters that FTS5's trigrams need.
SHORTEST = 3

# Photos of a short word beyond which it says too little for what it costs to read what each of them holds.
MOST_PHOTOS = 20_000


class Line(NamedTuple):
    """A line of text in a picture, and its box: left, top, right and bottom as shares of width and height."""

    text: str
    box: tuple[float, float, float, float]


class Unread(NamedTuple):
    """A photo that was not looked at for words, and, if another one of the same content was, the id of that."""

    id: int
    path: Path
    same: int | None


class ReadWords:
    """What was read in pictures: the facts `words`, lines of text, and `boxes`, one of each line."""

    def __init__(self, database: Database, *, is_server: bool = False) -> None:
        self._database = database
        self._connection = database.connection
        self._is_server = is_server

    @property
    def is_there(self) -> bool:
        """Whether the catalog has room for words: an earlier version's that is only read has none, nor has a server."""
        return (
            not self._is_server
            and self._database.scalar("SELECT 1 FROM sqlite_master WHERE name = 'read_words'") is not None
        )

    def unread(self, modality: str) -> list[Unread]:
        """The items of a modality that nobody looked at, by path."""
        rows = self._connection.execute(
            "SELECT items.id, folders.path, name, (SELECT min(read_items.id) FROM files AS others "
            "JOIN items AS same ON same.file_id = others.id JOIN read_items ON read_items.id = same.id "
            "WHERE others.fingerprint = files.fingerprint) FROM items JOIN files ON files.id = file_id "
            "JOIN folders ON folders.id = folder_id WHERE items.modality = ? AND items.words IS NULL "
            "AND items.id NOT IN (SELECT id FROM read_items) ORDER BY folders.path, name",
            (modality,),
        )
        return [Unread(id, Path(folder, name), same) for id, folder, name, same in rows]

    def put(self, read: Mapping[int, Sequence[Line]]) -> None:
        """Stores what was read in items, by id, within a transaction; nothing in items that are not there any more."""
        self._connection.executemany(
            "UPDATE items SET facts = json_set(facts, '$.words', ?, '$.boxes', json(?)) WHERE id = ?",
            [(*_told(lines), id) for id, lines in read.items() if lines],
        )
        self._note(read)

    def copy(self, ids: Mapping[int, int]) -> None:
        """Gives items what was read in others of the same content, within a transaction."""
        self._connection.executemany(
            "UPDATE items SET facts = json_set(facts, '$.words', told.words, '$.boxes', json(told.boxes)) FROM "
            "(SELECT words, json_extract(facts, '$.boxes') AS boxes FROM items WHERE id = ?) AS told "
            "WHERE items.id = ? AND told.words IS NOT NULL",
            [(same, id) for id, same in ids.items()],
        )
        self._note(ids)

    def _note(self, ids: Iterable[int]) -> None:
        sql = "INSERT OR IGNORE INTO read_items SELECT id FROM items WHERE id = ?"
        self._connection.executemany(sql, [(id,) for id in ids])

    def counts(self) -> tuple[int, int]:
        """How many photos were looked at, and in how many of all there are words."""
        if not self.is_there:
            return 0, 0
        looked_at, held = (
            self._database.scalar(f"SELECT count(*) FROM {what}")
            for what in ("read_items", "items WHERE words IS NOT NULL")
        )
        return int(looked_at), int(held)

    def holding(self, word: str, modality: str) -> set[int]:
        """The ids of a modality's items in whose pictures a word was read.

        One of `WITHIN` letters, or with digits in it, is also found within others; of a shorter one, four letters may
        begin another word, and three are it.
        """
        if len(word) < SHORTEST or not self.is_there:
            return set()
        matching = "FROM read_words JOIN items ON items.id = read_words.rowid WHERE read_words MATCH ? AND modality = ?"
        asked = (f'"{word}"', modality)
        if len(word) >= WITHIN or re.search(r"\d", word):
            return {id for (id,) in self._connection.execute(f"SELECT items.id {matching}", asked)}
        rows = self._connection.execute(f"SELECT items.id, items.words {matching} LIMIT {MOST_PHOTOS}", asked)
        is_held = re.compile(rf"\b{re.escape(word)}" + (r"\b" if len(word) == SHORTEST else ""), re.IGNORECASE).search
        return {id for id, words in rows if is_held(words)}


def _told(lines: Sequence[Line]) -> tuple[str, str]:
    boxes = [[round(edge, 4) for edge in line.box] for line in lines]
    return "\n".join(line.text for line in lines), json.dumps(boxes, separators=(",", ":"))

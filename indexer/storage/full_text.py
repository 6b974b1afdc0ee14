"""Full text search: which items hold a word in names of files and folders, in texts, captions, or read in photos."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from indexer.storage.database import Database

# The names of folders and files run on ("Germany2019"), so that a word of this many letters may begin one there.
SHORTEST_PREFIX = 4

# Captions of a word beyond which it says too little for what it costs to follow each to its photo: a microsecond
# or two a caption. The meaning of so common a word is what the encoder knows best.
MOST_CAPTIONS = 20_000

# Letters of a word that is found within others ("RE16" in "RE16TGK"); digits make it worth looking for from three on.
WITHIN = 5

# Letters that FTS5's trigrams need.
SHORTEST = 3

# Photos of a short word beyond which it says too little for what it costs to read what each of them holds.
MOST_PHOTOS = 20_000

IN_NAMES = """
SELECT items.id FROM file_words JOIN items ON file_id = file_words.rowid
WHERE file_words MATCH :name AND items.modality = :modality
UNION
SELECT items.id FROM folder_words JOIN files ON folder_id = folder_words.rowid JOIN items ON file_id = files.id
WHERE folder_words MATCH :name AND items.modality = :modality
UNION
SELECT items.id FROM text_words JOIN items ON items.id = text_words.rowid
WHERE text_words MATCH :text AND items.modality = :modality
UNION
SELECT items.id FROM description_words JOIN items ON items.id = description_words.rowid
WHERE description_words MATCH :text AND items.modality = :modality
"""

CAPTIONED = """
SELECT DISTINCT folders.path, json_extract(facts, '$.photo') FROM text_words
JOIN items ON items.id = text_words.rowid JOIN files ON files.id = file_id JOIN folders ON folders.id = folder_id
WHERE text_words MATCH :text AND json_extract(facts, '$.photo') IS NOT NULL
"""

AT_PLACES = """
SELECT items.id FROM json_each(:places) AS place
JOIN folders ON folders.path = json_extract(place.value, '$[0]')
JOIN files ON files.folder_id = folders.id AND files.name = json_extract(place.value, '$[1]')
JOIN items ON file_id = files.id WHERE items.modality = :modality
"""

# Words that hold a sentence together and name nothing. The rest of what is common is told by counting.
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about above after all also am an and any are as at be been before behind being below beside between but by "
        "can could did do does doing during each for from had has have having he her here him his how i if in into is "
        "it its just me more most my near next no not of off on one only onto or other our out over own she so some "
        "such than that the their them then there these they this those through to too towards under until up very "
        "was we were what when where which while who whose why will with without would you your",
    )
)


def words_of(sentence: str) -> list[str]:
    """The words of a sentence that can be looked up, each once, as they are written but in lower case.

    >>> words_of('The "Müller" family AND a dog-sled')
    ['müller', 'family', 'dog', 'sled']
    """
    spelled = unicodedata.normalize("NFC", sentence).lower()
    return [word for word in dict.fromkeys(re.findall(r"[^\W_]+", spelled)) if word not in FUNCTION_WORDS]


def match_word(catalog: Database, word: str, modality: str) -> set[int]:
    """The ids of a modality's items that hold the word.

    An item does so by its text (up to the word's ending: "dogs" is "dog"), by the name of its file or of a folder
    that it lies in, and by a description or a caption of its photo.
    """
    text = f'"{word}"'
    parameters = {"text": text, "name": f"{text}*" if len(word) >= SHORTEST_PREFIX else text, "modality": modality}
    found = {id for (id,) in catalog.connection.execute(IN_NAMES, parameters)}
    count = catalog.scalar("SELECT count(*) FROM text_words WHERE text_words MATCH ?", (text,))
    if 0 < count <= MOST_CAPTIONS:
        places = json.dumps([*_captioned(catalog, text)])
        found |= {id for (id,) in catalog.connection.execute(AT_PLACES, {"places": places, "modality": modality})}
    return found


def _captioned(catalog: Database, text: str) -> Iterator[Sequence[str]]:
    """Folder and name of the photos whose captions match."""
    for folder, photo in catalog.connection.execute(CAPTIONED, {"text": text}):
        yield os.path.split(os.path.normpath(os.path.join(folder, photo)))  # noqa: PTH118 - strings for SQL


class Line(NamedTuple):
    """A line of text in a photo, and its box: left, top, right and bottom as shares of width and height."""

    text: str
    box: tuple[float, float, float, float]


class Unread(NamedTuple):
    """A photo that was not looked at for words, and, if another one of the same content was, the id of that."""

    id: int
    path: Path
    same: int | None


class ReadWords:
    """What was read in photos: the facts `words`, lines of text, and `boxes`, one of each line."""

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
            [(*_facts_of(lines), id) for id, lines in read.items() if lines],
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
        """The ids of a modality's items in which a word was read.

        One of `WITHIN` letters, or with digits in it, is also found within others; of a shorter one, four letters may
        begin another word, and three are it.
        """
        if len(word) < SHORTEST or not self.is_there:
            return set()
        matching = "FROM read_words JOIN items ON items.id = read_words.rowid WHERE read_words MATCH ? AND modality = ?"
        parameters = (f'"{word}"', modality)
        if len(word) >= WITHIN or re.search(r"\d", word):
            return {id for (id,) in self._connection.execute(f"SELECT items.id {matching}", parameters)}
        rows = self._connection.execute(f"SELECT items.id, items.words {matching} LIMIT {MOST_PHOTOS}", parameters)
        is_held = re.compile(rf"\b{re.escape(word)}" + (r"\b" if len(word) == SHORTEST else ""), re.IGNORECASE).search
        return {id for id, words in rows if is_held(words)}


def _facts_of(lines: Sequence[Line]) -> tuple[str, str]:
    boxes = [[round(edge, 4) for edge in line.box] for line in lines]
    return "\n".join(line.text for line in lines), json.dumps(boxes, separators=(",", ":"))

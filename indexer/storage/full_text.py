"""Full text search: which items hold a word in the names of their files and folders, in their text or captions."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer.storage.database import Database

# The names of folders and files run on ("Germany2019"), so that a word of this many letters may begin one there.
SHORTEST_PREFIX = 4

# Captions of a word beyond which it says too little for what it costs to follow each to its photo: a microsecond
# or two a caption. The meaning of so common a word is what the encoder knows best.
MOST_CAPTIONS = 20_000

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
    asked = {"text": text, "name": f"{text}*" if len(word) >= SHORTEST_PREFIX else text, "modality": modality}
    found = {id for (id,) in catalog.connection.execute(IN_NAMES, asked)}
    count = catalog.scalar("SELECT count(*) FROM text_words WHERE text_words MATCH ?", (text,))
    if 0 < count <= MOST_CAPTIONS:
        places = json.dumps([*_captioned(catalog, text)])
        found |= {id for (id,) in catalog.connection.execute(AT_PLACES, {"places": places, "modality": modality})}
    return found


def _captioned(catalog: Database, text: str) -> Iterator[Sequence[str]]:
    """Folder and name of the photos whose captions match."""
    for folder, photo in catalog.connection.execute(CAPTIONED, {"text": text}):
        yield os.path.split(os.path.normpath(os.path.join(folder, photo)))  # noqa: PTH118 - strings for SQL

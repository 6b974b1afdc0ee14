"""Captions: the layouts in which people and data sets keep sentences about photos, and where the photos are.

JSON Lines and JSON lists of records, tables of any dialect (CSV, TSV, semicolons, Flickr8k's and Flickr30k's), COCO,
Karpathy's splits and Visual Genome are told apart by what they hold, not by their names. What is wrong in one place
costs that place, and is said.
"""

from __future__ import annotations

import csv
import json
import os
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple, TextIO

import ijson

from indexer.errors import SourceError
from indexer.photos.suffixes import SUFFIXES
from indexer.texts import LARGEST_TEXT, LONGEST_LINE, lines, open_text

# How corpora and people call the two columns, tried in this order.
CAPTION_KEYS = (
    *("captions", "caption", "text", "sentences", "sentence", "comment", "raw", "description", "alt_text", "title"),
)
PHOTO_KEYS = (
    *("image", "photo", "file_name", "filename", "file", "image_name", "image_path", "filepath", "path", "img", "url"),
)

DELIMITERS = "\t,;|"

# Stands between the columns of a table that has but one.
NO_DELIMITER = "\x1f"

# Lines that tell the dialect of a table.
SAMPLE = 50

# The share of rows that name a photo in the column of photos, where no header tells it; the others are broken.
MOST = 0.9

# Lines that a quoted cell may run over; a quote that is not closed by then was none.
LONGEST_CELL = 200

# Containers within each other beyond which JSON is no list of captions.
DEEPEST = 16

# Entries without an object after which a list at the top is one of numbers, or of other lists.
BARREN = 1000

# Where photos lie, seen from their captions: beside them, or as the data sets have it.
FOLDERS = (
    *(".", "images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images", "flickr30k-images"),
    *("VG_100K", "VG_100K_2", "../images"),
)

Note = Callable[[str, str], None]  # is told where something is wrong, and what


class Captioned(NamedTuple):
    """What a place of a file says of a photo: sentences, of which there is at least one.

    `where` is what stands behind the file's name: ":3" for a line, ":images[1]" for an entry of a list. `photo` is its
    name as the file has it, None if it has none; `split` "train", "val", "test", as the file says, or "".
    """

    where: str
    photo: str | None
    captions: tuple[str, ...]
    split: str = ""


def read_captions(path: Path, note: Note) -> Iterator[Captioned]:
    """The captions of a `.json`, `.jsonl` or table. Raises `SourceError` for a file of another form.

    `note` is told of each place that was passed over. A file of something else altogether holds no captions.
    """
    reader = {".json": _documents, ".jsonl": _json_lines, ".ndjson": _json_lines}.get(path.suffix.lower(), _table)
    yield from reader(path, note)


def _said(where: str, photo: object, captions: object, note: Note, split: object = "") -> Iterator[Captioned]:
    """What is said at one place, if it is text; `note` is told of the rest."""
    candidates = captions if isinstance(captions, list | tuple) else [captions]
    texts = [" ".join(text.split()) for text in candidates if isinstance(text, str)]
    texts = [_storable(text) for text in texts if text]
    if len(texts) < len(candidates) or not texts:
        note(where, "an empty caption, or one that is no text")
    if texts:
        yield Captioned(where, _photo_name(photo), tuple(texts), split if isinstance(split, str) else "")


def _photo_name(value: object) -> str | None:
    """A photo's name as JSON may give it: text, a number, or an object that holds its path."""
    if isinstance(value, Mapping):
        return next((name for key in PHOTO_KEYS if (name := _photo_name(value.get(key)))), None)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return _storable(str(value).strip()) or None


def _storable(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can spell and UTF-8 cannot."""
    return text.encode(errors="replace").decode()


# JSON Lines


def _json_lines(path: Path, note: Note) -> Iterator[Captioned]:
    with open_text(path) as text:
        for number, line in lines(text):
            where = f":{number}"
            if line is None:
                note(where, f"longer than {LONGEST_LINE >> 20} MB")
            elif line.strip():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError) as error:
                    note(where, f"not JSON ({error})")
                else:
                    yield from _record(where, record, note)


def _record(where: str, record: Any, note: Note) -> Iterator[Captioned]:
    """The captions of a record of unknown fields; something without a field for captions holds none."""
    if isinstance(record, str | list):
        record = {"text": record}
    if not isinstance(record, dict):
        return
    names = [key for key in CAPTION_KEYS if key in record]
    if names:
        name = next((key for key in names if record[key] and isinstance(record[key], str | list)), names[0])
        yield from _said(where, record, record[name], note, record.get("split"))


# tables


class Layout(NamedTuple):
    """How a table is to be read: its delimiter, how many columns it has and which two count.

    `skipped` are the lines at the top that hold no captions: names of columns, and the `sep=;` of spreadsheets.
    """

    delimiter: str
    columns: int
    photo: int | None
    caption: int
    skipped: int


def is_table(path: Path) -> bool:
    """Whether a `.txt` is a table of captions: its first row names both columns, or each begins with a photo."""
    with open_text(path, newline="") as text:
        sample = _sample(text)
    layout = _layout(sample)
    if layout is None or layout.photo is None:
        return False
    photo = layout.photo
    rows = _cells(sample, layout.delimiter)
    return bool(layout.skipped) or all(len(row) > photo and _is_photo(row[photo]) for row in rows)


def _table(path: Path, note: Note) -> Iterator[Captioned]:
    with open_text(path, newline="") as text:
        sample = _sample(text)
    layout = _layout(sample)
    if layout is None:
        _miss_the_captions(sample, note)
        return
    with open_text(path, newline="") as text:
        for number, row in _rows(text, layout.delimiter, note):
            if number > layout.skipped and any(map(str.strip, row)):
                yield from _row(f":{number}", row, layout, note)


def _row(where: str, row: list[str], layout: Layout, note: Note) -> Iterator[Captioned]:
    if layout.caption == layout.columns - 1:  # a caption may hold delimiters that nobody quoted
        row = [
            *row[: layout.caption],
            *([f"{layout.delimiter} ".join(row[layout.caption :])] * (len(row) > layout.caption)),
        ]
    photo, caption = (
        row[column] if column is not None and column < len(row) else None for column in (layout.photo, layout.caption)
    )
    numbered = re.fullmatch(r"(.+)#\d+", photo or "")  # as Flickr8k numbers the captions of a photo
    yield from _said(where, numbered[1] if numbered else photo, caption, note)


def _miss_the_captions(sample: Sequence[str], note: Note) -> None:
    rows = _cells(sample, max(DELIMITERS, key=sample[0].count)) if sample else []
    if rows:
        names = ", ".join(repr(name.strip()[:30]) for name in rows[0][:8])
        note("", f"no column of captions among {names}: call it caption, and that of the photos image")


def _sample(text: TextIO) -> list[str]:
    return [line for _, line in islice(lines(text), SAMPLE) if line]


def _cells(sample: Iterable[str], delimiter: str) -> list[list[str]]:
    """The rows that say something, as far as they can be told apart."""
    rows: list[list[str]] = []
    with suppress(csv.Error):
        rows.extend(csv.reader(sample, delimiter=delimiter, skipinitialspace=True))
    return [row for row in rows if any(map(str.strip, row))]


def _layout(sample: Sequence[str]) -> Layout | None:
    """The dialect in which the first row names a column of captions, else that in which a column holds photos."""
    told = re.fullmatch(r"sep=(.)\s*", sample[0]) if sample else None
    skipped = 1 if told else 0
    dialects = {
        delimiter: rows
        for delimiter in ([told[1]] if told else DELIMITERS)
        if (rows := _cells(sample[skipped:], delimiter))
    }
    named = [layout for delimiter, rows in dialects.items() if (layout := _named(delimiter, rows[0], skipped))]
    if named:
        return max(named, key=lambda layout: (layout.photo is not None, layout.columns))
    found = [layout for delimiter, rows in dialects.items() if (layout := _found(delimiter, rows, skipped))]
    return max(found, key=lambda layout: layout.columns, default=None)


def _named(delimiter: str, names: Sequence[str], skipped: int) -> Layout | None:
    places = {re.sub(r"[\s-]+", "_", name.strip().lower()): place for place, name in reversed([*enumerate(names)])}
    caption = next((places[key] for key in CAPTION_KEYS if key in places), None)
    if caption is None:  # "caption_en"
        caption = min((place for name, place in places.items() if name.startswith("caption")), default=None)
    photo = next((places[key] for key in PHOTO_KEYS if key in places), None)
    if caption is None:
        return None
    return Layout(delimiter if len(names) > 1 else NO_DELIMITER, len(names), photo, caption, skipped + 1)


def _found(delimiter: str, rows: Sequence[Sequence[str]], skipped: int) -> Layout | None:
    """The layout told by what the columns hold: photos in one, words in another."""
    has_header = not any(map(_is_photo, rows[0]))
    body = [row for row in rows[has_header:] if len(row) > 1]
    columns = [[row[place].strip() for row in body] for place in range(min(map(len, body), default=0))]
    photos = [sum(map(_is_photo, column)) for column in columns]
    photo = next((place for place, count in enumerate(photos) if count > MOST * len(body)), None)
    if photo is None:
        return None
    words = {place: _words(column) for place, column in enumerate(columns) if place != photo}
    caption = max(words, key=words.__getitem__)
    # names of cameras are two or three words, too; of a photo and one thing more, that is what is said of it
    enough = 4 if has_header else 1 if len(columns) == 2 else 2
    return Layout(delimiter, len(columns), photo, caption, skipped + has_header) if words[caption] >= enough else None


def _words(cells: Sequence[str]) -> float:
    """The words of a cell that is not empty, on average."""
    counts = [len(re.findall(r"[^\W\d]+", cell)) for cell in cells if cell]
    return sum(counts) / max(1, len(counts))


def _is_photo(value: str) -> bool:
    """Whether a cell names a photo, with or without numbers behind it, as in Flickr8k's "1.jpg#0" and "1.jpg.1#0"."""
    return value.strip().lower().startswith(("http://", "https://")) or _is_photo_file(value)


def _is_photo_file(value: str) -> bool:
    name = re.sub(r"(\.\d+)?(#\d+)?$", "", value.strip().lower())
    return name.endswith(tuple(SUFFIXES)) and "://" not in name


def _rows(text: TextIO, delimiter: str, note: Note) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table, each with the number of its first line.

    A quote that is not closed costs its line, and not what follows.
    """
    numbered, waiting = lines(text), deque[tuple[int, str | None]]()

    def following(taken: list[tuple[int, str | None]]) -> Iterator[str]:
        while len(taken) < LONGEST_CELL:
            entry = waiting.popleft() if waiting else next(numbered, None)
            if entry is None:
                return
            taken.append(entry)
            if entry[1] is None:
                return
            yield entry[1]

    while True:
        taken: list[tuple[int, str | None]] = []
        try:
            row = next(_read_row(following(taken), delimiter, strict=True), None)
        except csv.Error:
            row = None
        if not taken:
            return
        number, line = taken[0]
        if row is None:  # the line is taken by itself
            waiting.extendleft(reversed(taken[1:]))
            if line is None:
                note(f":{number}", f"longer than {LONGEST_LINE >> 20} MB")
            elif line.count('"') % 2:
                note(f":{number}", "a quote that is not closed")
            else:
                row = next(_read_row([line], delimiter), None)
        if row:
            yield number, row


def _read_row(source: Iterable[str], delimiter: str, *, strict: bool = False) -> Iterator[list[str]]:
    return csv.reader(source, delimiter=delimiter, skipinitialspace=True, strict=strict)


csv.field_size_limit(2 * LONGEST_LINE)  # the default refuses a caption of more than 128 KB


# JSON documents


def _documents(path: Path, note: Note) -> Iterator[Captioned]:
    """The captions of COCO, Karpathy's splits, Visual Genome, a list of records that name their photo, or one by photo.

    Karpathy and Fei-Fei: Deep Visual-Semantic Alignments for Generating Image Descriptions (CVPR 2015). Krishna et al.:
    Visual Genome (IJCV 2017); the phrases of its regions are read as captions of the whole photo. Any other JSON
    (settings, a camera app's notes) holds no captions.
    """
    names: dict[Any, Any] = {}
    is_coco = False
    for section, place, entry in _entries(path, note):
        where = f":{section}[{place}]"
        if _is_photo_file(section):  # {"a.jpg": "a dog"}, or more than one, or a record
            yield from _record(
                where, {"image": section, **(entry if isinstance(entry, dict) else {"text": entry})}, note
            )
        elif not isinstance(entry, dict):
            continue
        elif section == "images" and isinstance(entry.get("sentences"), list):
            yield from _karpathy(where, entry, note)
        elif section == "images" and isinstance(entry.get("id"), int | str):
            names[entry["id"]] = entry.get("file_name")
        elif section == "annotations" and "caption" in entry:
            is_coco = True
        elif not section and isinstance(entry.get("regions"), list):
            phrases = [region.get("phrase") if isinstance(region, dict) else None for region in entry["regions"]]
            number = _photo_name(entry.get("id", entry.get("image_id")))
            yield from _said(
                where, number and f"{number}.jpg", list({str(phrase): phrase for phrase in phrases}.values()), note
            )
        elif entry.keys() & {*(CAPTION_KEYS[:2] if section else CAPTION_KEYS)} and entry.keys() & {*PHOTO_KEYS}:
            yield from _record(where, entry, note)
    if is_coco:  # once more, for in some files the photos stand behind what is said of them
        for section, place, entry in _entries(path, note):
            if section == "annotations" and isinstance(entry, dict) and "caption" in entry:
                photo = names.get(entry.get("image_id")) if isinstance(entry.get("image_id"), int | str) else None
                yield from _said(f":annotations[{place}]", photo, entry["caption"], note)


def _karpathy(where: str, entry: Mapping[str, Any], note: Note) -> Iterator[Captioned]:
    said = [sentence if isinstance(sentence, dict) else {} for sentence in entry["sentences"]]
    captions = [one["raw"] if "raw" in one else _joined(one.get("tokens")) for one in said]
    photo = "/".join(filter(None, (_photo_name(entry.get(key)) for key in ("filepath", "filename"))))
    yield from _said(where, photo, captions, note, entry.get("split"))


def _joined(tokens: object) -> str:
    return " ".join(token for token in tokens if isinstance(token, str)) if isinstance(tokens, list) else ""


def _entries(path: Path, note: Note) -> Iterator[tuple[str, int, Any]]:
    """What the lists hold that stand at the top of a document or under a name there: the name, the place, the entry.

    What stands there under the name of a photo is such an entry too.

    In one pass and a bounded piece at a time; an entry of more than `LONGEST_LINE` bytes is passed over.
    """
    told = 0
    try:
        for found in _streamed(path, note):
            told += 1
            yield found
    except ijson.JSONError as error:
        if path.stat().st_size > LARGEST_TEXT:
            raise SourceError(f"it is not JSON ({' '.join(str(error).split())[:80]})") from error
        yield from islice(_parsed(path), told, None)


def _parsed(path: Path) -> Iterator[tuple[str, int, Any]]:
    """The same by Python's parser, which takes NaN for a number, and names the line where something is wrong."""
    with open_text(path) as text:
        try:
            document = json.load(text)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"it is not JSON ({error})") from error
    for section, entries in (document if isinstance(document, dict) else {"": document}).items():
        for place, entry in enumerate(entries if isinstance(entries, list) else [entries] * _is_photo_file(section)):
            yield section, place, entry


def _streamed(path: Path, note: Note) -> Iterator[tuple[str, int, Any]]:
    with open_text(path) as text:
        source = _Utf8(text)
        section, place, begun, objects = "", 0, 0, False
        above: list[str] = []  # the containers around the event, by what begins them
        entry: Any = None
        for event, value in ijson.basic_parse(source, use_float=True):
            source.waits_for = source.taken + LARGEST_TEXT
            if event in ("end_map", "end_array"):
                above.pop()
            in_list = above in (["start_array"], ["start_map", "start_array"])
            if above == ["start_map"] and event not in ("map_key", "start_array", "end_array"):
                in_list = _is_photo_file(section)
            if event == "map_key" and above == ["start_map"]:
                section, place = value, 0
            elif in_list and entry is None:
                entry, begun = ijson.ObjectBuilder(), source.taken
            is_short = source.taken - begun <= LONGEST_LINE
            if entry is not None and is_short:
                entry.event(event, value)
            if event in ("start_map", "start_array"):
                above.append(event)
                if len(above) > DEEPEST:
                    return
            elif in_list and entry is not None:
                objects |= isinstance(entry.value, dict)
                if is_short:
                    yield section, place, entry.value
                else:
                    note(f":{section}[{place}]", f"longer than {LONGEST_LINE >> 20} MB")
                entry, place = None, place + 1
                if place == BARREN and not objects:
                    return


class _Utf8:
    """A text as the bytes that ijson reads. Raises `SourceError` where a single value has no end in sight."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self.taken = 0
        self.waits_for = LARGEST_TEXT

    def read(self, size: int = -1) -> bytes:
        """The next bytes, about `size` of them; none at the end."""
        if self.taken > self.waits_for:
            raise SourceError(f"it holds a text of more than {LARGEST_TEXT >> 20} MB")
        piece = self._text.read(size).encode(errors="replace")
        self.taken += len(piece)
        return piece


# where the photos are


class PhotoFinder:
    """Finds photos on the disk as a file of captions names them, however it spells them.

    Names may differ in case and in the form of Unicode, have backslashes, or be paths of another machine.
    """

    def __init__(self, captions: Path) -> None:
        self._home = Path(os.path.abspath(captions)).parent  # noqa: PTH100 - Path's own resolves links, or keeps ".."
        split = captions.stem.removeprefix("captions_")  # COCO calls the photos' folder after that of the captions
        folders = [_inside(self._home, folder) for folder in (*FOLDERS, split, f"../{split}")]
        self.folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
        self._names = lru_cache(64)(_names)
        self._last = "", ""

    def find(self, name: str) -> Path | None:
        """The photo of that name; None if there is none."""
        for path in _spellings(name):
            for folder in self.folders:
                if found := self._below(folder, path):
                    return found
        return None

    def relative(self, name: str) -> str:
        """The photo's path from the folder of the captions, with slashes; the name itself where there is none."""
        if name != self._last[0]:  # captions of one photo come together
            found = self.find(name)
            self._last = name, Path(os.path.relpath(found, self._home)).as_posix() if found else name
        return self._last[1]

    def _below(self, folder: Path, path: PurePosixPath) -> Path | None:
        *above, last = path.parts
        for part in above:
            if part == "..":
                folder = folder.parent
            elif real := self._real(folder, part):
                folder /= real
            else:
                return None
        real = self._real(folder, last)
        return folder / real if real else None

    def _real(self, folder: Path, name: str) -> str | None:
        names = self._names(folder)
        return names.get(name) or names.get(folded(name))


def _names(folder: Path) -> dict[str, str]:
    """What lies in a folder, by its names as they are and folded."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return {}
    return {folded(name): name for name in reversed(names)} | {name: name for name in names}


def folded(name: str) -> str:
    """A name in one case and one form of Unicode."""
    return unicodedata.normalize("NFC", name).casefold()


def _spellings(name: str) -> Iterator[PurePosixPath]:
    """The paths that a name may mean; one of another machine's root down means the end of it that is here."""
    for spelled in dict.fromkeys((name, name.replace("\\", "/"))):
        path = PurePosixPath(spelled)
        drive = PureWindowsPath(spelled).drive if ":" in spelled or spelled.startswith("//") else ""
        if not path.parts or path.name in ("", ".."):
            continue
        if path.is_absolute() or drive:
            parts = path.parts[1:] if path.is_absolute() else PurePosixPath(spelled[len(drive) :].lstrip("/")).parts
            yield from (PurePosixPath(*parts[start:]) for start in range(max(0, len(parts) - DEEPEST), len(parts)))
        else:
            yield path


def _inside(folder: Path, name: str) -> Path:
    return Path(os.path.normpath(folder / name))

"""Texts: prose as passages that fit the encoder's context, captions as one item each.

Captions come from JSON Lines, CSV and TSV, COCO's JSON, and from a `.txt` beside a photo of the same
stem. A caption's fact `photo` names its photo relative to the file's folder, so that the link
survives when both move together.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from indexer.errors import SourceError
from indexer.items import Item
from indexer.modalities import image
from indexer.modalities.base import Modality, ReadOptions

# How the field's corpora call the two columns, tried in this order.
CAPTION_KEYS = ("captions", "caption", "text", "sentences", "sentence", "title", "description")
PHOTO_KEYS = ("image", "photo", "file_name", "filename", "file", "image_path", "filepath", "path", "url")

Caption = tuple[str, str | None]  # what it says, and its photo as the file names it

# How the suffix of a photo beside a text may be written: .jpg, .JPG and .Jpg.
CASES = (str.lower, str.upper, str.title)

csv.field_size_limit(sys.maxsize)  # the default refuses a caption of more than 128 KB


def read(path: Path, options: ReadOptions) -> Iterator[tuple[Item, str]]:
    """The texts of a file, each with itself as the value to embed."""
    reader = READERS[path.suffix.lower()]
    try:
        for item in reader(path, options.fits):
            yield item, item.text
    except OSError as error:
        raise SourceError((error.strerror or str(error)).lower()) from error


def _prose(path: Path, fits: Callable[[str], bool]) -> Iterator[Item]:
    photo = _photo_beside(path)
    text = path.read_text(_encoding(path), errors="replace")
    if photo is not None:
        yield from _captions(path, ((line, photo.name) for line in text.splitlines()))
        return
    if path.suffix.lower() == ".md":
        text = _without_markup(text)
    for number, passage in enumerate(passages(text, fits), start=1):
        yield Item("text", path, f"p{number}", passage)


def _photo_beside(path: Path) -> Path | None:
    candidates = (path.with_suffix(case(suffix)) for suffix in image.SUFFIXES for case in CASES)
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _encoding(path: Path) -> str:
    """How a text is encoded: by its byte order mark, else UTF-8, else Windows-1252; binary data is no text."""
    utf8 = codecs.getincrementaldecoder("utf-8")()
    encoding = "utf-8-sig"
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        file.seek(0)
        while block := file.read(1 << 20):
            if b"\0" in block:
                raise SourceError("it is not text: it holds zero bytes")
            encoding = encoding if _decodes(utf8, block) else "cp1252"
    return encoding if _decodes(utf8, b"", final=True) else "cp1252"


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _without_markup(text: str) -> str:
    """Markdown as plain text: no fenced code, no marks of headings, lists, emphasis and links."""
    text = re.sub(r"(?ms)^(```|~~~).*?^\1.*?$", "", text)
    text = re.sub(r"(?m)^\s*(#{1,6}|[-*+]|\d+\.|>)\s+(.*)$", r"\n\2\n", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[*_`]{1,3}(\S(?:.*?\S)?)[*_`]{1,3}", r"\1", text)


def passages(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Prose in pieces that fit: a paragraph if it does, else as many of its sentences, else of its words.

    >>> list(passages("One two. Three four.\\n\\nFive.", lambda piece: len(piece.split()) <= 2))
    ['One two.', 'Three four.', 'Five.']
    """
    for paragraph in re.split(r"\n\s*\n", text):
        if words := " ".join(paragraph.split()):
            yield from _pieces(words, fits)


def _pieces(paragraph: str, fits: Callable[[str], bool]) -> Iterator[str]:
    if fits(paragraph):
        yield paragraph
        return
    sentences = re.split(r"(?<=[.!?…。！？])\s+", paragraph)  # noqa: RUF001 - full-width marks end sentences too
    for piece in _packed(sentences, fits):
        yield from (piece,) if fits(piece) else _packed(piece.split(), fits)


def _packed(parts: Iterable[str], fits: Callable[[str], bool]) -> Iterator[str]:
    """Consecutive parts joined for as long as they fit together; a part that alone is too long stays alone."""
    piece = ""
    for part in parts:
        longer = f"{piece} {part}".strip()
        if piece and not fits(longer):
            yield piece
            longer = part
        piece = longer
    if piece:
        yield piece


def _captions(path: Path, captions: Iterable[Caption]) -> Iterator[Item]:
    """Captions as items, numbered as they stand in the file; empty ones are left out."""
    spoken = ((_storable(" ".join(text.split())), photo) for text, photo in captions)
    for number, (text, photo) in enumerate((caption for caption in spoken if caption[0]), start=1):
        yield Item("text", path, f"c{number}", text, {"photo": _storable(photo)} if photo else {})


def _storable(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can spell and UTF-8 cannot."""
    return text.encode(errors="replace").decode()


def _json_lines(path: Path, _fits: Callable[[str], bool]) -> Iterator[Item]:
    return _captions(path, chain.from_iterable(map(_record_captions, _json_records(path))))


def _json_records(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding=_encoding(path), errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise SourceError(f"line {number} is not JSON ({error})") from error
            yield record if isinstance(record, dict) else {"text": record}


def _record_captions(record: Mapping[str, Any]) -> Iterator[Caption]:
    """The captions of one record; none, if it has no field that is known to hold captions."""
    photo = next((str(record[key]) for key in PHOTO_KEYS if record.get(key)), None)
    value = next((record[key] for key in CAPTION_KEYS if record.get(key)), None)
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str):
            yield text, photo


def _table(path: Path, _fits: Callable[[str], bool]) -> Iterator[Item]:
    """CSV or TSV with a header that names a caption column; any other table holds no captions."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding=_encoding(path), errors="replace", newline="") as lines:
        rows = csv.DictReader(lines, delimiter=delimiter)
        try:
            rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
            yield from _captions(path, chain.from_iterable(map(_record_captions, rows)))
        except csv.Error as error:
            raise SourceError(f"line {rows.line_num} is not {path.suffix[1:].upper()} ({error})") from error


def _coco(path: Path, _fits: Callable[[str], bool]) -> Iterator[Item]:
    """COCO's captions JSON; any other JSON (settings, a camera app's notes) holds no captions."""
    try:
        document = json.loads(path.read_text(_encoding(path), errors="replace"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"it is not JSON ({error})") from error
    if not (isinstance(document, dict) and {"images", "annotations"} <= document.keys()):
        return
    try:
        names = {photo["id"]: photo["file_name"] for photo in document["images"]}
        notes = [note for note in document["annotations"] if "caption" in note]
        yield from _captions(path, ((str(note["caption"]), names.get(note["image_id"])) for note in notes))
    except (KeyError, TypeError) as error:
        raise SourceError(f"it is not COCO captions: {error} is missing or of another kind") from error


READERS: dict[str, Callable[[Path, Callable[[str], bool]], Iterator[Item]]] = {
    ".txt": _prose,
    ".md": _prose,
    ".jsonl": _json_lines,
    ".csv": _table,
    ".tsv": _table,
    ".json": _coco,
}

TEXT = Modality("text", "text", frozenset(READERS), read, beside=frozenset({image.IMAGE.name}))

"""Text files, whatever program wrote them: the one place where bytes become text.

Captions, labels, questions and prose are all read here, from files and pipes, and in bounded pieces.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from io import BufferedReader, RawIOBase, TextIOWrapper
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from indexer.errors import SourceError, reason_of

# Characters of a line. A caption is shorter, what is longer is data.
LONGEST_LINE = 1 << 20

# Bytes of a text that is read as a whole: 60,000 passages. What is larger is a log or a dump.
LARGEST_TEXT = 16 << 20

# The longest marks first: that of UTF-32 begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

# Bytes that tell the encoding of a text without a mark.
PEEK = 4096

ZEROS = "it is not text: it holds zero bytes"


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    """What is no UTF-8 as Windows-1252 (Latin-1 and more), which nearly all other Western texts are."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error("windows-1252", _as_windows_1252)


def open_text(path: Path, *, newline: str | None = None) -> TextIO:
    """A text to read. Raises `SourceError` if it cannot be opened or is none; `newline` as for `open`."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise SourceError(reason_of(error)) from error
    try:
        return decoded(file, newline=newline)
    except BaseException:
        file.close()
        raise


def decoded(file: BinaryIO, *, newline: str | None = None) -> TextIO:
    """A file of bytes as text: by its byte order mark, else UTF-16 if every other byte is zero, else UTF-8.

    Bytes that are no UTF-8 are Windows-1252. A pipe will do. Raises `SourceError` for binary data.
    """
    buffered = file if isinstance(file, BufferedReader) else BufferedReader(cast(RawIOBase, file))
    start = buffered.peek(PEEK)[:PEEK]
    encoding = next((name for mark, name in MARKS.items() if start.startswith(mark)), None) or _unmarked(start)
    errors = "windows-1252" if encoding == "utf-8-sig" else "replace"
    return TextIOWrapper(buffered, encoding, errors, newline)


def _unmarked(start: bytes) -> str:
    if b"\0" not in start:
        return "utf-8-sig"
    for encoding, zeros, letters in (("utf-16-le", start[1::2], start[::2]), ("utf-16-be", start[::2], start[1::2])):
        if 2 * zeros.count(0) > len(zeros) and len(zeros) == len(letters) and 0 not in letters:
            return encoding
    raise SourceError(ZEROS)


def lines(text: TextIO) -> Iterator[tuple[int, str | None]]:
    """The lines, each with its number from 1; None for one of more than `LONGEST_LINE` characters."""
    number = 0
    while line := text.readline(LONGEST_LINE):
        number += 1
        if "\0" in line:
            raise SourceError(ZEROS)
        yield number, line if _ends(line) else None
        while not _ends(line):  # the rest of a long line is passed over
            line = text.readline(LONGEST_LINE)


def short_lines(text: TextIO) -> Iterator[tuple[int, str]]:
    """The lines, each with its number from 1. Raises `SourceError` for one of more than `LONGEST_LINE` characters."""
    for number, line in lines(text):
        if line is None:
            raise SourceError(f"line {number} is longer than {LONGEST_LINE >> 20} MB")
        yield number, line


def _ends(line: str) -> bool:
    return len(line) < LONGEST_LINE or line.endswith(("\n", "\r"))


def read_text(path: Path) -> str:
    """All that a text says. Raises `SourceError`, also for one of more than `LARGEST_TEXT` bytes."""
    with open_text(path) as file:
        text = file.read(LARGEST_TEXT + 1)
    if len(text) > LARGEST_TEXT:
        raise SourceError(f"a text of more than {LARGEST_TEXT >> 20} MB is not read: split it")
    if "\0" in text:
        raise SourceError(ZEROS)
    return text

"""What all readers of data sets share: the `Example` that they give, and how they say what is wrong with a file.

What is wrong is said with file and line or entry and the remedy, before hours are spent on the set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from indexer.errors import DescryError
from indexer.photos.opening import ALL_FORMATS


class DataError(DescryError):
    """A data set that cannot be used as it is; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class Example:
    """One photo and what is said about it.

    `where` names the file and line or member it came from; `photo` is its path, or its encoded bytes where it
    lives in an archive; `captions` are sentences, `label` a class name or "", `split` "train", "val", "test" or "".
    """

    where: str
    photo: Path | bytes
    captions: tuple[str, ...] = ()
    label: str = ""
    split: str = ""

    def picture(self) -> Image.Image:
        """The photo, opened but not yet decoded."""
        content = self.photo if isinstance(self.photo, bytes) else self.photo.read_bytes()
        return Image.open(BytesIO(content), formats=ALL_FORMATS)


def captioned(where: str, photo: Path, captions: Any, split: str = "") -> Example:
    """An example whose photo is there and whose captions say something. Raises `DataError`."""
    if not isinstance(captions, list | tuple) or not captions or not all(map(_says_something, captions)):
        raise DataError(f"{where}: an empty caption, or one that is no text; remove or mend it.")
    if not photo.is_file():
        raise DataError(f"{where}: the photo {photo} is missing; download it or remove the line.")
    return Example(where, photo, tuple(caption.strip() for caption in captions), split=split)


def _says_something(caption: object) -> bool:
    return isinstance(caption, str) and bool(caption.strip())


def field(row: Mapping[str, Any], name: str, where: str) -> str:
    """The text in a field of a JSON object. Raises `DataError` if there is none."""
    value = row.get(name) if isinstance(row, Mapping) else None
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: the field {name!r} is missing.")
    return value


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a text file that say something, each with where it stands. Raises `DataError`."""
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        if line.strip():
            yield f"{path}:{number}", line


def text_of(path: Path) -> str:
    """What a text file says. Raises `DataError`."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); is it the file that was meant?") from error


def json_of(path: Path) -> Any:
    """What a JSON file holds. Raises `DataError`."""
    try:
        return json.loads(text_of(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg}).") from error


def entries(value: Any, name: str, where: str) -> list[Any]:
    """The list in a field of a JSON object. Raises `DataError` if there is none."""
    found = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(found, list):
        raise DataError(f"{where}: the list {name!r} is missing; is it the file that was meant?")
    return found


def find(name: str, folders: Sequence[Path]) -> Path:
    """The photo of that name in the first of the folders that has it; where it should be if none has."""
    return next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name)


def some(examples: Iterable[Example], where: Path, missing: str) -> list[Example]:
    """The examples, of which there is at least one. Raises `DataError`, saying what is missing."""
    found = list(examples)
    if not found:
        raise DataError(f"{where}: {missing}")
    return found
